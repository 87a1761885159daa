"""What a pool keeps of the rows that stream by: some as rows, the rest as atoms' moments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums
from spectra.engine.plan import BUFFER_ROWS, PoolPlan
from spectra.grouping import Ints
from spectra.linalg import F64


class RowStore:
    """Chosen rows of a pool, kept in their stored precision, looked up by row number."""

    def __init__(self, numbers: Ints, dim: int, dtype: np.dtype[Any]) -> None:
        """Room for the rows of width dim that have these sorted numbers."""
        self._numbers = numbers
        self._rows = np.empty((len(numbers), dim), dtype)

    def put(self, numbers: Ints, rows: NDArray[np.generic]) -> None:
        """Keep rows [m, d] under their numbers [m], all of them chosen."""
        self._rows[np.searchsorted(self._numbers, numbers)] = rows

    def get(self, numbers: Ints) -> NDArray[np.generic]:
        """The rows [m, d] with these numbers, in the order asked for."""
        return np.asarray(self._rows[np.searchsorted(self._numbers, numbers)])


class Collector:
    """Takes a pool's blocks during a sweep over some categories.

    After the sweep `rows` looks up stored rows and `moments` gives the sums of each large atom.
    """

    def __init__(
        self,
        plan: PoolPlan,
        categories: range,
        lasting: RowStore,
        dtype: np.dtype[Any],
        shift: F64,
        backend: Backend,
    ) -> None:
        """Collect the rows of `categories`; `lasting` outlives the sweep."""
        self._plan, self._lasting, self._shift, self._backend = plan, lasting, shift, backend
        self._store = RowStore(plan.stored(categories), plan.dim, dtype)
        self._dtype = dtype
        self._buffers: dict[int, NDArray[Any]] = {}
        self._filled: dict[int, int] = {}
        self.moments: dict[int, Sums] = {}

    def add(self, rows: NDArray[Any], numbers: Ints) -> None:
        """Take rows [m, d] with their row numbers [m]."""
        atoms, lasting = self._plan.rows.atom_of(numbers), self._plan.lasts(numbers)
        in_large = self._plan.large[atoms]
        for store, mine in ((self._store, ~in_large & ~lasting), (self._lasting, lasting)):
            if mine.any():
                store.put(numbers[mine], rows[mine])
        large = np.flatnonzero(in_large)
        large = large[np.argsort(atoms[large], kind="stable")]
        borders = np.flatnonzero(np.diff(atoms[large])) + 1
        for members in np.split(large, borders) if len(large) else ():
            self._buffer(int(atoms[members[0]]), rows[members])

    def finish(self) -> None:
        """Flush what is still buffered."""
        for atom in sorted(self._buffers):
            self._flush(atom)
        self._buffers.clear()

    def rows(self, numbers: Ints) -> NDArray[Any]:
        """Stored rows [m, d] by number, wherever they are kept."""
        lasting = self._plan.lasts(numbers)
        if lasting.all():
            return self._lasting.get(numbers)
        rows = np.empty((len(numbers), self._plan.dim), self._dtype)
        rows[lasting] = self._lasting.get(numbers[lasting])
        rows[~lasting] = self._store.get(numbers[~lasting])
        return rows

    def _buffer(self, atom: int, rows: NDArray[Any]) -> None:
        if atom not in self._buffers:
            self._buffers[atom] = np.empty((BUFFER_ROWS, self._plan.dim), self._dtype)
            self._filled[atom] = 0
        while len(rows):
            filled = self._filled[atom]
            taken = min(len(rows), BUFFER_ROWS - filled)
            self._buffers[atom][filled : filled + taken] = rows[:taken]
            self._filled[atom], rows = filled + taken, rows[taken:]
            if self._filled[atom] == BUFFER_ROWS:
                self._flush(atom)

    def _flush(self, atom: int) -> None:
        sums = self.moments.get(atom)
        if sums is None:
            sums = self._backend.zeros(self._plan.dim)
        block = self._buffers[atom][: self._filled[atom]]
        self.moments[atom] = self._backend.accumulate(sums, block, self._shift)
        self._filled[atom] = 0
