"""What the adapters share: steps from labelled chunks, and the account of what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from extract.traces.adapters._spans import Segments, find, pieces
from extract.traces.errors import LayoutError
from spectra.json_fields import show
from spectra.strict_json import JSON, JSONObject

MAX_SOURCE_BYTES = 1 << 30
"""The largest source file that is read, since it is read as a whole."""

_TOLD = 5


@dataclass(slots=True)
class Skips:
    """What could not be converted: counts, and the first few in words."""

    records: int = 0
    steps: int = 0
    told: list[str] = field(default_factory=list)

    def record(self, reason: str) -> None:
        """Count a record of which no trace was made."""
        self.records += 1
        self._tell(reason)

    def step(self, reason: str) -> None:
        """Count a labelled chunk that became no step."""
        self.steps += 1
        self._tell(reason)

    def sentence(self) -> str:
        """The counts and the first reasons; empty where nothing was left out."""
        if not self.records and not self.steps:
            return ""
        more = self.records + self.steps - len(self.told)
        reasons = "; ".join(reason.rstrip(".") for reason in self.told)
        return (
            f"{self.records} records and {self.steps} steps could not be converted: {reasons}"
            + (f"; and {more} more" if more else "")
            + "."
        )

    def _tell(self, reason: str) -> None:
        if len(self.told) < _TOLD:
            self.told.append(reason)


Build: TypeAlias = Callable[[Skips], dict[str, JSON]]
"""Makes one record's trace, as the object that a line of JSON Lines holds."""

Adapter: TypeAlias = Callable[[Path], Iterator[tuple[str, Build]]]
"""The records of a source: where each is, and how to make its trace."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A labelled piece of a response; `name` is for error messages."""

    name: str
    text: str
    category: str | None
    extra: JSONObject = field(default_factory=dict)


def locate(
    response: str, chunks: Iterable[Chunk], where: str, skips: Skips, *, thinking: bool
) -> list[JSON]:
    """The steps of the chunks, each searched for behind the one before it.

    A chunk that holds thinking markup becomes the pieces around it, with one label. Chunks that
    are not found are counted in `skips`.
    """
    segments = Segments.of(response, thinking=thinking)
    steps: list[JSON] = []
    cursor = 0
    for chunk in chunks:
        span = find(response, chunk.text, cursor)
        if span is None:
            skips.step(
                f"{where}: {chunk.name} ({show(chunk.text)}) is not in the response after "
                f"character {cursor}"
            )
            continue
        cursor = span[1]
        steps += labelled(response, span, chunk, segments)
    return steps


def labelled(response: str, span: tuple[int, int], chunk: Chunk, segments: Segments) -> list[JSON]:
    """The steps of one chunk at `span`: its pieces without markup and outer white space."""
    return [
        {
            "char_start": start,
            "char_end": end,
            "segment": segments.at(start),
            "category": chunk.category,
            **chunk.extra,
        }
        for start, end in pieces(response, *span)
    ]


def problem_of(question: str) -> str:
    """An id for the problem that `question` poses: the same text, the same id."""
    return f"problem-{hashlib.sha256(question.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def user(question: str) -> list[JSON]:
    """The messages of a conversation that begins with `question`."""
    return [{"role": "user", "content": question}]


def require_directory(source: Path, layout: str) -> None:
    """Raise `LayoutError` unless `source` is a directory; `layout` says what it should hold."""
    if not source.is_dir():
        raise LayoutError(f"{source} is not a directory. Expected {layout}.")
