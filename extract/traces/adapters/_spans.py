"""Where labelled text lies in a response: exact spans, without thinking markup, with segments."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_MARKUP = re.compile(r"</?think>")


def find(response: str, chunk: str, cursor: int) -> tuple[int, int] | None:
    """The first place of `chunk` at or after `cursor`, whatever white space parts its words.

    None where it is not there, or where the chunk is blank.
    """
    words = chunk.split()
    if not words:
        return None
    match = re.compile(r"\s+".join(map(re.escape, words))).search(response, cursor)
    return match.span() if match else None


def pieces(response: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """[start, end) without thinking markup and the white space around what remains."""
    for match in _MARKUP.finditer(response, max(0, start - len("</think>"))):
        if match.start() >= end:
            break
        yield from _trimmed(response, start, match.start())
        start = max(start, match.end())
    yield from _trimmed(response, start, end)


def _trimmed(response: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    text = response[start:end]
    if text.strip():
        yield end - len(text.lstrip()), start + len(text.rstrip())


@dataclass(frozen=True, slots=True)
class Segments:
    """The segment of every character: thought inside <think>…</think>, solution after it."""

    starts: tuple[int, ...]
    names: tuple[str | None, ...]

    @classmethod
    def of(cls, response: str, *, thinking: bool) -> Segments:
        """`thinking` says that the response begins as thought: the prompt ends in <think>.

        So does one whose first markup closes a thought. Where there is no markup at all, nothing
        says what is thought: the segment is None. So it is for text before the first <think>.
        """
        found = [(match.start(), match.group()) for match in _MARKUP.finditer(response)]
        thinking = thinking or (bool(found) and found[0][1] == "</think>")
        starts, names = [0], ["thought" if thinking else None]
        for start, tag in found:
            starts.append(start)
            names.append("thought" if tag == "<think>" else "solution")
        return cls(tuple(starts), tuple(names))

    def at(self, position: int) -> str | None:
        """The segment of the character at `position`."""
        return self.names[bisect_right(self.starts, position) - 1]
