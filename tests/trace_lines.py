"""One small annotated trace as the object of a line, to break in every way."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from extract.traces import Trace
from extract.traces._parse import parse_trace
from spectra.notes import Notes

RESPONSE = "<think>\nTwo and two.\n\nThat is four.\n</think>\n\nFour."

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".jsonl": bytes,
    ".xz": lzma.compress,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def step(start: int, end: int, segment: str | None = "thought", category: str = "Deduction") -> Any:
    return {"char_start": start, "char_end": end, "segment": segment, "category": category}


def line(**changes: Any) -> dict[str, Any]:
    """The trace's object with `changes`; a change to ... removes the field."""
    fields: dict[str, Any] = {
        "trace_id": "a",
        "problem_id": "p",
        "generator": "some/model",
        "prompt": "2 + 2?",
        "response": RESPONSE,
        "steps": [step(8, 20), step(22, 35), step(46, 51, "solution", "Final Answer")],
        "metadata": {"level": 1},
    }
    return {key: value for key, value in (fields | changes).items() if value is not ...}


def write_lines(path: Path, *objects: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in objects))
    return path


def trace_of(fields: dict[str, Any]) -> Trace:
    return parse_trace(fields, "here", Notes())
