"""Groups and their records as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spectra.display import SHOWN, html_table, text_table, with_error
from spectra.grouping import Group
from spectra.outputs.documents import category_name
from spectra.printable import Names
from spectra.record import Record

_HEADINGS = ("group", "rows", *SHOWN, "ceiling", "status")
_KINDS = ("global", "segment", "category")


def group_name(group: Group) -> str:
    """A group in words, the labels as they are; a category is never taken for a segment."""
    parts = [] if group.segment is None else [group.segment]
    if group.category is not None:
        parts.append(group.category if parts else category_name(group.category))
    if group.bin is not None:
        parts.append(f"bin {group.bin}")
    return ", ".join(parts) if parts else "global"


def records_text(records: Mapping[Group, Record]) -> str:
    """The records of all rows, segments and categories as plain text."""
    return text_table([_HEADINGS, *_cells(records)])


def records_html(caption: str, records: Mapping[Group, Record]) -> str:
    """The same as HTML, labels escaped."""
    return html_table(caption, _HEADINGS, _cells(records))


def _cells(records: Mapping[Group, Record]) -> Iterator[tuple[str, ...]]:
    names = Names()
    for group, record in records.items():
        if group.kind in _KINDS:
            metrics = (
                with_error(getattr(record, name), (record.se or {}).get(name), digits)
                for name, digits in SHOWN.items()
            )
            label = names.of(group, group_name(group))
            rows, ceiling = f"{record.num_rows:,}", f"{record.rank_ceiling:,}"
            yield (label, rows, *metrics, ceiling, record.status)
