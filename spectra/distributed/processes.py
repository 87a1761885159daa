"""What a step of a run may ask of the other processes, and the answers where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from spectra.strict_json import JSON


@dataclass(slots=True)
class Traffic:
    """What a process exchanged with the others.

    Attributes:
        bytes: of its own arrays, each once, however often the network carries them.
        seconds: while arrays were exchanged.
        waiting_seconds: until the others were there too, or had said something.
    """

    bytes: int = 0
    seconds: float = 0.0
    waiting_seconds: float = 0.0

    def asdict(self) -> dict[str, float]:
        """By name."""
        return {
            "bytes": self.bytes,
            "seconds": round(self.seconds, 6),
            "waiting_seconds": round(self.waiting_seconds, 6),
        }


class Processes(Protocol):
    """The processes of a run, of which this is one.

    All processes make the same calls in the same order. A call waits for the others, however long
    they take, and raises `PeerError` on all that are left once one of them has ended.

    Attributes:
        rank: this process's number, from 0.
        count: how many there are.
    """

    @property
    def rank(self) -> int:
        """This process's number, from 0."""
        ...

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def traffic(self) -> Traffic:
        """What this process has sent so far."""
        ...

    def gather(self, what: str, value: JSON) -> list[JSON]:
        """Each process's small value, in the order of ranks; `what` it is, for messages."""
        ...

    def agree(self, what: str, value: JSON) -> None:
        """Raise `DisagreementError` on all processes unless all have the same value."""
        ...

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sums over processes of arrays of one shape, of float64 or int64: a new array.

        It is the same in every process to the last bit.
        """
        ...

    def union(self, values: NDArray[Any]) -> NDArray[Any]:
        """Arrays of one shape and any type put together, where no two have a byte but zero."""
        ...

    def collect(self, data: bytes) -> list[bytes]:
        """Each process's bytes, in the order of ranks."""
        ...


class _Alone:
    """One process."""

    rank, count = 0, 1
    traffic = Traffic()

    def __repr__(self) -> str:
        return "ALONE"

    def gather(self, what: str, value: JSON) -> list[JSON]:
        return [value]

    def agree(self, what: str, value: JSON) -> None:
        """Agrees with itself."""

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.copy()

    def union(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.copy()

    def collect(self, data: bytes) -> list[bytes]:
        return [data]


ALONE: Processes = _Alone()
"""One process."""


def span(size: int, rank: int, count: int) -> tuple[int, int]:
    """The share [start, stop) of `size` things in a row that a process of so many has."""
    return size * rank // count, size * (rank + 1) // count
