"""What a pool keeps of the rows that stream by: some as rows, the rest as atoms' moments."""

from __future__ import annotations

from collections.abc import Callable
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
        places = np.searchsorted(self._numbers, numbers)
        kept = (places < len(self._numbers)).all() and (self._numbers[places] == numbers).all()
        assert kept, "a row was asked for that was not kept"
        return np.asarray(self._rows[places])


class AtomBuffers:
    """Hands on the rows of each atom in blocks that do not depend on how the rows arrive."""

    def __init__(
        self,
        atom_rows: Ints,
        dim: int,
        dtype: np.dtype[Any],
        flush: Callable[[int, NDArray[Any], Ints], None],
    ) -> None:
        """For atoms of so many rows [atoms], of width dim.

        `flush` is given an atom, some of its rows [m, d] and their numbers [m], to use at once.
        """
        self._size = np.minimum(atom_rows, BUFFER_ROWS)
        self._dim, self._dtype, self._flush = dim, dtype, flush
        self._rows: dict[int, NDArray[Any]] = {}
        self._numbers: dict[int, Ints] = {}
        self._filled: dict[int, int] = {}

    def add(self, rows: NDArray[Any], numbers: Ints, atoms: Ints, places: Ints) -> None:
        """Take the rows at these places, of rows [m, d] with their numbers [m] and atoms [m]."""
        order = places[np.argsort(atoms[places], kind="stable")]
        borders = np.flatnonzero(np.diff(atoms[order])) + 1
        for members in np.split(order, borders) if len(order) else ():
            self._put(int(atoms[members[0]]), rows[members], numbers[members])

    def finish(self) -> None:
        """Flush what is still held."""
        for atom in sorted(self._rows):
            if self._filled[atom]:
                self._hand_on(atom)
        self._rows.clear()
        self._numbers.clear()

    def _put(self, atom: int, rows: NDArray[Any], numbers: Ints) -> None:
        if atom not in self._rows:
            self._rows[atom] = np.empty((self._size[atom], self._dim), self._dtype)
            self._numbers[atom] = np.empty(self._size[atom], np.int64)
            self._filled[atom] = 0
        while len(rows):
            filled = self._filled[atom]
            taken = min(len(rows), BUFFER_ROWS - filled)
            self._rows[atom][filled : filled + taken] = rows[:taken]
            self._numbers[atom][filled : filled + taken] = numbers[:taken]
            self._filled[atom], rows, numbers = filled + taken, rows[taken:], numbers[taken:]
            if self._filled[atom] == BUFFER_ROWS:
                self._hand_on(atom)

    def _hand_on(self, atom: int) -> None:
        filled = self._filled[atom]
        self._flush(atom, self._rows[atom][:filled], self._numbers[atom][:filled])
        self._filled[atom] = 0


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
        self._buffers = AtomBuffers(plan.atom_rows, plan.dim, dtype, self._flush)
        self.moments: dict[int, Sums] = {}

    def add(self, rows: NDArray[Any], numbers: Ints) -> None:
        """Take rows [m, d] with their row numbers [m]."""
        atoms, lasting = self._plan.rows.atom_of(numbers), self._plan.lasts(numbers)
        large = self._plan.large[atoms]
        for store, mine in ((self._store, ~large & ~lasting), (self._lasting, lasting)):
            if mine.any():
                store.put(numbers[mine], rows[mine])
        self._buffers.add(rows, numbers, atoms, np.flatnonzero(large))

    def finish(self) -> None:
        """Flush what is still buffered."""
        self._buffers.finish()

    def rows(self, numbers: Ints) -> NDArray[Any]:
        """Stored rows [m, d] by number, wherever they are kept."""
        lasting = self._plan.lasts(numbers)
        if lasting.all():
            return self._lasting.get(numbers)
        rows = np.empty((len(numbers), self._plan.dim), self._dtype)
        rows[lasting] = self._lasting.get(numbers[lasting])
        rows[~lasting] = self._store.get(numbers[~lasting])
        return rows

    def _flush(self, atom: int, rows: NDArray[Any], numbers: Ints) -> None:
        sums = self.moments.get(atom)
        if sums is None:
            sums = self._backend.zeros(self._plan.dim)
        self.moments[atom] = self._backend.accumulate(sums, rows, self._shift)
