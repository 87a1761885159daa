"""Part i of n: its rows and its file's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from spectra.errors import UsageError

DIRECTORY = "parts"
MOST_PARTS = 100_000
_WRITTEN = re.compile(r"([0-9]+)/([0-9]+)", re.ASCII)
_NAME = re.compile(r"part-([0-9]+)-of-([0-9]+)\.safetensors", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One of `of` parts of a model's token rows, `number` from 0 on."""

    number: int
    of: int

    def __post_init__(self) -> None:
        """Check it."""
        if not 1 <= self.of <= MOST_PARTS or not 0 <= self.number < self.of:
            raise UsageError(
                f"part is {self.number}/{self.of}. Expected i/n with n from 1 to {MOST_PARTS:,} "
                "and i from 0 to n - 1: the first of four parts is 0/4."
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """From i/n."""
        found = _WRITTEN.fullmatch(text)
        if found is None or len(text) > 20:
            raise UsageError(
                f"part is {text!a}. Expected i/n, such as 0/4 for the first of four parts."
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def span(self, rows: int) -> tuple[int, int]:
        """Its token rows [start, stop) of so many."""
        return rows * self.number // self.of, rows * (self.number + 1) // self.of

    def path(self, out: Path) -> Path:
        """Its file, where the results go to `out`."""
        return out / DIRECTORY / f"part-{self.number}-of-{self.of}.safetensors"


def parts_in(out: Path) -> list[Part]:
    """Those that have a file, in order."""
    found = (_NAME.fullmatch(path.name) for path in (out / DIRECTORY).glob("part-*.safetensors"))
    named = [(int(match[1]), int(match[2])) for match in found if match is not None]
    return sorted(Part(number, of) for number, of in named if number < of <= MOST_PARTS)
