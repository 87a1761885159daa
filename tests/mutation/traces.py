"""Files of traces to damage, in each form that is read: checked, or laid against tokens too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from extract.text import TextTokenizer
from extract.traces import read_traces, write_traces
from extract.traces.check import check_traces
from tests.extract_cases import short_traces
from tests.mutation.subject import Parts, Subject
from tests.text_cases import train_tiny

_SUFFIXES = ("", ".xz", ".gz", ".zst")


def _writer(suffix: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        first, *others = short_traces(4)
        first = replace(first, metadata={"level": 1}, extra={"more": [1, {"a": None}]})
        write_traces(path / f"traces.jsonl{suffix}", [first, *others])

    return write


def _file(path: Path) -> Path:
    return path / path.name.replace("traces", "traces.jsonl")


def _read(path: Path) -> Parts:
    traces = list(read_traces(_file(path)))
    yield repr(traces)
    yield repr(check_traces(traces))


def _align(path: Path) -> Parts:
    traces = list(read_traces(_file(path)))
    yield repr(traces)
    yield repr(check_traces(traces, _tokenizer()))


@cache
def _tokenizer() -> TextTokenizer:
    return TextTokenizer(train_tiny(nfc=False))


TRACES = tuple(
    Subject(f"traces{suffix}", 1 if suffix else 3, _writer(suffix), _read, _align)
    for suffix in _SUFFIXES
)
