"""Where stored rows and moments lie, and whether they fit there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Bytes:
    """Memory on the host, and on a device with a memory of its own."""

    host: int = 0
    device: int = 0

    def asdict(self) -> dict[str, int]:
        """By place."""
        return asdict(self)

    def __add__(self, other: Self) -> Bytes:
        """What both take together."""
        return Bytes(self.host + other.host, self.device + other.device)

    def __sub__(self, other: Self) -> Bytes:
        """What is left of this without the other."""
        return Bytes(self.host - other.host, self.device - other.device)

    def larger(self, other: Self) -> Bytes:
        """What the two take one after the other."""
        return Bytes(max(self.host, other.host), max(self.device, other.device))


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be taken.

    Attributes:
        host: bytes of the host's memory.
        device: bytes for moments in a device's memory; None where moments lie in the host's.
    """

    host: int
    device: int | None = None

    def place(self, rows: int, moments: int) -> Bytes:
        """Bytes of stored rows and of moments, where they lie."""
        return Bytes(rows + moments) if self.device is None else Bytes(rows, moments)

    def holds(self, need: Bytes) -> bool:
        """Whether it fits, everywhere."""
        return need.host <= self.host and need.device <= (self.device or 0)
