"""A kind of directory to damage, and how it is read."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from spectra.errors import SpectraError
from tests.mutation.file_edits import Place, edit

LONGEST_MESSAGE = 5000
"""Characters; a path may have some 4,000 of them."""

Parts = Iterable[bytes | str]
"""What was read: it differs where the content does."""


def _nothing(place: Place, rng: random.Random) -> None:
    """Leave the damage as it is."""


def _no_hash(place: Place) -> None:
    """Nothing but the content itself tells."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of directory.

    Attributes:
        name: what it is.
        weight: its share of the trials.
        build: writes a valid one.
        read: reads it as far as is quick; raises the one clean error where it cannot be read.
        use: reads and uses it whole, for a share of the trials.
        damage: edits the directory once, and says what it did.
        reseal: makes a damaged directory consistent again, so that damage gets further than the
            first comparison.
        told: checks, of a damaged directory that was read and differs, that something tells.
    """

    name: str
    weight: int
    build: Callable[[Path], object]
    read: Callable[[Path], Parts]
    use: Callable[[Path], Parts]
    damage: Callable[[Place, random.Random], str] = edit
    reseal: Callable[[Place, random.Random], object] = _nothing
    told: Callable[[Place], object] = _no_hash


def digest(parts: Parts) -> str:
    """One hash of all parts."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "little") + data)
    return made.hexdigest()


def check_error(error: SpectraError, *names: str) -> None:
    """An error must be of use to who reads it: an exit code of bad input, a file, a short text."""
    text = str(error)
    assert error.exit_code in (2, 3), f"exit code {error.exit_code}: {error!r}"
    assert len(text) <= LONGEST_MESSAGE, f"{len(text)} characters: {text[:300]!r}"
    assert any(name in text for name in names), f"no file's name in {text!r}"
