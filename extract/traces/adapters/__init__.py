"""Public layouts of annotated reasoning, each converted by a module of its own.

An adapter finds every labelled piece of text in the response exactly, and never silently drops one:
what it cannot place is counted, and by default an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from extract.traces._parse import parse_trace
from extract.traces._trace import Trace
from extract.traces.adapters._build import Adapter
from extract.traces.adapters._build import Skips as Skips
from extract.traces.errors import ConversionError, UnknownLayoutError
from spectra.errors import InputError, MissingFileError
from spectra.notes import Notes

LAYOUTS: Mapping[str, str] = {
    "thought-anchors": "thought_anchors",
    "steering-thinking": "steering_thinking",
    "schoenfeld": "schoenfeld",
    "reasoning-flow": "reasoning_flow",
}
"""The names of the layouts, and the module of each."""


def convert(source: Path, layout: str, skips: Skips, *, lenient: bool = False) -> Iterator[Trace]:
    """The traces of `source`, one by one.

    Args:
        source: The file or directory that the layout's module describes.
        layout: One of `LAYOUTS`.
        skips: Counts the records and steps that cannot be converted.
        lenient: Leave those out. Otherwise they raise, after the last trace.

    Raises `UnknownLayoutError`, `ConversionError` and, for a source that is not of the layout,
    `InputError` subclasses.
    """
    adapter = _adapter(layout)
    if not source.exists():
        raise MissingFileError(f"{source} does not exist. Check the path.")
    notes = Notes()
    for where, build in adapter(source):
        try:
            trace = parse_trace(build(skips), where, notes)
        except InputError as error:
            skips.record(str(error))
            continue
        yield trace
    if skips.sentence() and not lenient:
        raise ConversionError(
            f"{source}: {skips.sentence()} Mend the source, or convert the rest with --lenient."
        )


def _adapter(layout: str) -> Adapter:
    if layout not in LAYOUTS:
        raise UnknownLayoutError(
            f"The layout {layout!r} is not known. Expected one of: {', '.join(LAYOUTS)}."
        )
    records: Adapter = import_module(f"{__name__}.{LAYOUTS[layout]}").records
    return records
