"""Annotated traces as JSON Lines: the strict reader and the atomic writer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from extract.traces import _streams
from extract.traces._parse import parse_trace
from extract.traces._trace import Trace, TraceStep
from extract.traces.errors import DuplicateTraceError, NothingToWriteError, NoTracesError
from spectra import strict_json
from spectra.json_fields import show
from spectra.notes import Notes
from spectra.strict_json import JSON


def read_traces(path: str | os.PathLike[str], notes: Notes | None = None) -> Iterator[Trace]:
    """The traces of a JSON Lines file, one by one; plain, .xz, .gz or .zst by its first bytes.

    Blank lines are passed over, and each trace's steps are sorted by position. A segment other
    than thought and solution (`thinking` and `think` are read as thought) becomes None and is
    counted in `notes`, whose sentences tell of it.

    Args:
        path: The file, or "-" for standard input.
        notes: Collects what is legal but worth a warning.

    Raises `InputError` subclasses, while reading, at the first thing that is wrong: those of
    `extract.traces.errors`, `spectra.files` and `spectra.strict_json`, and the field errors.
    """
    name = _streams.name_of(path)
    notes = notes if notes is not None else Notes()
    seen: dict[str, int] = {}
    for number, line in _streams.lines(path):
        where = f"{name}, line {number}"
        trace = parse_trace(strict_json.loads(line, where=where), where, notes)
        if trace.trace_id in seen:
            raise DuplicateTraceError(
                f"{where} has the trace_id {show(trace.trace_id)}, as line {seen[trace.trace_id]} "
                "has. Expected each id once; rename or remove one."
            )
        seen[trace.trace_id] = number
        yield trace
    if not seen:
        raise NoTracesError(f"{name} holds no trace. Expected JSON Lines, one trace a line.")


def write_traces(path: str | os.PathLike[str], traces: Iterable[Trace]) -> int:
    """Write the traces to `path`, compressed where it ends in .xz, .gz or .zst; returns how many.

    The same traces give the same lines, and with one version of the compression library the same
    file. The file appears when all of it is written: whatever `traces` raises on the way leaves
    what was there.

    Raises `NothingToWriteError`, `DuplicateTraceError` and `OutputError`.
    """
    path = Path(path)
    seen: set[str] = set()
    with _streams.writing(path) as stream:
        for trace in traces:
            if trace.trace_id in seen:
                raise DuplicateTraceError(
                    f"Two traces for {path} have the trace_id {show(trace.trace_id)}. Expected "
                    "each id once."
                )
            seen.add(trace.trace_id)
            stream.write(strict_json.dumps(as_json(trace), indent=None).encode())
        if not seen:
            raise NothingToWriteError(
                f"There is no trace to write to {path}, and nothing was written."
            )
    return len(seen)


def as_json(trace: Trace) -> dict[str, JSON]:
    """The trace's JSON object; fields that are None are left out."""
    fields: dict[str, JSON] = {"trace_id": trace.trace_id}
    optional: tuple[tuple[str, JSON], ...] = (
        ("problem_id", trace.problem_id),
        ("generator", trace.generator),
        ("prompt", trace.prompt),
        ("messages", None if trace.messages is None else [dict(m) for m in trace.messages]),
    )
    fields |= {key: value for key, value in optional if value is not None}
    fields |= {"response": trace.response, "steps": [_step(step) for step in trace.steps]}
    for key, ids in (
        ("prompt_token_ids", trace.prompt_token_ids),
        ("response_token_ids", trace.response_token_ids),
    ):
        if ids is not None:
            fields[key] = list(ids)
    if trace.metadata:
        fields["metadata"] = dict(trace.metadata)
    return fields | dict(trace.extra)


def _step(step: TraceStep) -> dict[str, JSON]:
    return {
        "char_start": step.char_start,
        "char_end": step.char_end,
        "segment": step.segment,
        "category": step.category,
        **step.extra,
    }
