"""Where the time of a run goes: seconds that threads spend on each kind of work, and solvers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums
from spectra.linalg import F64, Axes, Reduced, WeightsOf

Work = Literal["read", "pool", "multiply", "reduce", "solve", "influence"]
KINDS: tuple[Work, ...] = get_args(Work)


@dataclass(slots=True)
class Used:
    """How many matrices a solver reduced, and the least and the largest order among them."""

    matrices: int
    smallest: int
    largest: int

    def add(self, order: int) -> None:
        """One more."""
        self.matrices += 1
        self.smallest, self.largest = min(self.smallest, order), max(self.largest, order)


class Clock:
    """Adds up; threads work side by side, so the sum may exceed the time that passes."""

    def __init__(self) -> None:
        """Nothing done yet."""
        self._seconds = dict.fromkeys(KINDS, 0.0)
        self._solvers: dict[str, Used] = {}
        self._lock = threading.Lock()

    def reduced(self, solver: str, order: int) -> None:
        """Count a matrix that a solver reduces."""
        with self._lock:
            self._solvers.setdefault(solver, Used(0, order, order)).add(order)

    def solvers(self) -> dict[str, dict[str, int]]:
        """What each solver was used for."""
        return {name: asdict(used) for name, used in self._solvers.items()}

    @contextmanager
    def __call__(self, work: Work) -> Iterator[None]:
        """Count what happens inside as this kind of work."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            with self._lock:
                self._seconds[work] += spent

    def asdict(self) -> dict[str, float]:
        """Seconds a kind of work."""
        return {work: round(seconds, 6) for work, seconds in self._seconds.items()}


class TimedBackend:
    """A backend whose calls are counted, each when its result is there.

    Products of stored rows are part of their reduction.
    """

    def __init__(self, backend: Backend, clock: Clock) -> None:
        """Count the calls of `backend`."""
        self.name, self.mode, self.count = backend.name, backend.mode, backend.count
        self._backend, self._clock = backend, clock

    def moment_room(self, dim: int) -> int | None:
        """Its own."""
        return self._backend.moment_room(dim)

    def with_less_room(self) -> Backend | None:
        """Its own."""
        return self._backend.with_less_room()

    def reduction(self, order: int, rows: bool) -> str:
        """Its own."""
        return self._backend.reduction(order, rows)

    def zeros(self, dim: int) -> Sums:
        """The sums of no rows."""
        return self._backend.zeros(dim)

    def accumulate(self, sums: Sums, rows: NDArray[np.generic], shift: F64) -> Sums:
        """Counted as "multiply"."""
        with self._clock("multiply"):
            return _there(self._backend.accumulate(sums, rows, shift))

    def merge(self, into: Sums, other: Sums) -> Sums:
        """Counted as "multiply"."""
        with self._clock("multiply"):
            return _there(self._backend.merge(into, other))

    def whole(self, sums: Sums) -> Sums:
        """Its own."""
        return self._backend.whole(sums)

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        """Counted as "reduce"."""
        self._clock.reduced(self.reduction(len(shift), rows=False), len(shift))
        with self._clock("reduce"):
            return self._backend.reduce_moments(sums, shift)

    def reduce_rows(self, rows: NDArray[np.generic]) -> Reduced:
        """Counted as "reduce"."""
        self._clock.reduced(self.reduction(len(rows), rows=True), len(rows))
        with self._clock("reduce"):
            return self._backend.reduce_rows(rows)

    def axes(self, sums: Sums, shift: F64, centered: bool, weights_of: WeightsOf) -> Axes:
        """Counted as "influence"."""
        with self._clock("influence"):
            return self._backend.axes(sums, shift, centered, weights_of)

    def held(self, axes: Axes) -> Axes:
        """Its own."""
        return self._backend.held(axes)

    def carried(self, rows: NDArray[np.generic], of: Sequence[Axes]) -> list[F64]:
        """Counted as "influence"."""
        with self._clock("influence"):
            return self._backend.carried(rows, of)

    def carried_by_few(
        self, rows: NDArray[np.generic], centered: bool, weights_of: WeightsOf
    ) -> F64:
        """Counted as "influence"."""
        with self._clock("influence"):
            return self._backend.carried_by_few(rows, centered, weights_of)


def _there(sums: Sums) -> Sums:
    if not isinstance(sums.gram, np.ndarray):
        sums.gram.block_until_ready()
    return sums
