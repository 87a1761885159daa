"""What every refused input has in common, whichever command is given it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from typer.testing import Result

from tests.breaking import Break

Standing = dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Case:
    """One way to be wrong: the number that it has in the list, what is done, what is then said.

    `text` is a regular expression.
    """

    number: int
    what: str
    spoil: Break
    text: str

    def __str__(self) -> str:
        return f"{self.number}-{self.what.replace(' ', '_')}"


def standing(path: Path) -> Standing:
    """Everything under a directory by name: kind and mode, size, time of change; links as such."""
    found = {}
    for one in path.rglob("*"):
        status = one.lstat()
        size = 0 if one.is_dir() else status.st_size
        found[one.relative_to(path).as_posix()] = (status.st_mode, size, status.st_mtime_ns)
    return found


def assert_refused(result: Result, text: str, code: int = 3) -> None:
    """One paragraph on stderr that says what the case is about, and nothing else."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert re.search(text, result.stderr), result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 1500
    assert "Traceback" not in result.stderr
