"""What a pool keeps of the rows that stream by: some as rows, the rest as atoms' moments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums
from spectra.engine.collected import Collected, Form
from spectra.engine.energies import Energies, Energy
from spectra.engine.plan import BUFFER_ROWS, SENT, PoolPlan
from spectra.engine.share import Share
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

    def has(self, numbers: Ints) -> NDArray[np.bool_]:
        """[m] which of these numbers are chosen."""
        return np.isin(numbers, self._numbers)

    def get(self, numbers: Ints) -> NDArray[np.generic]:
        """The rows [m, d] with these numbers, in the order asked for."""
        places = np.searchsorted(self._numbers, numbers)
        kept = (places < len(self._numbers)).all() and (self._numbers[places] == numbers).all()
        assert kept, "a row was asked for that was not kept"
        return np.asarray(self._rows[places])


class AtomBuffers:
    """Hands on the rows of each atom in blocks that do not depend on how the rows arrive.

    Blocks are used one after the other, in order, by a thread beside the caller's.
    """

    def __init__(
        self,
        atom_rows: Ints,
        dim: int,
        dtype: np.dtype[Any],
        flush: Callable[[int, NDArray[Any], Ints], None],
    ) -> None:
        """For atoms of so many rows [atoms], of width dim.

        `flush` is given an atom, some of its rows [m, d] and their numbers [m], which may change
        after.
        """
        self._size = np.minimum(atom_rows, BUFFER_ROWS)
        self._dim, self._dtype, self._flush = dim, dtype, flush
        self._filling: dict[int, _Held] = {}
        self._spare: list[_Held] = []
        self._thread = ThreadPoolExecutor(1)
        self._sent: deque[tuple[_Held, Future[None]]] = deque()

    def add(self, rows: NDArray[Any], numbers: Ints, atoms: Ints, places: Ints) -> None:
        """Take the rows at these places, of rows [m, d] with their numbers [m] and atoms [m]."""
        order = places[np.argsort(atoms[places], kind="stable")]
        borders = np.flatnonzero(np.diff(atoms[order])) + 1
        for members in np.split(order, borders) if len(order) else ():
            self._put(int(atoms[members[0]]), rows, numbers, members)

    def finish(self) -> None:
        """Flush what is still held, and wait for all."""
        for atom in sorted(self._filling):
            self._hand_on(atom)
        while self._sent:
            self._take_back()
        self._spare.clear()
        self._thread.shutdown()

    def _put(self, atom: int, rows: NDArray[Any], numbers: Ints, places: Ints) -> None:
        while len(places):
            held = self._filling.get(atom) or self._filling.setdefault(atom, self._room(atom))
            some = places[: BUFFER_ROWS - held.filled]
            stop = held.filled + len(some)
            # Without a mode that needs no check, `take` writes to a copy first.
            np.take(rows, some, axis=0, out=held.rows[held.filled : stop], mode="clip")
            held.numbers[held.filled : stop] = numbers[some]
            held.filled, places = stop, places[len(some) :]
            if held.filled == BUFFER_ROWS:
                self._hand_on(atom)

    def _room(self, atom: int) -> _Held:
        size = int(self._size[atom])
        if size == BUFFER_ROWS and self._spare:
            return self._spare.pop()
        return _Held(np.empty((size, self._dim), self._dtype), np.empty(size, np.int64))

    def _hand_on(self, atom: int) -> None:
        held = self._filling.pop(atom)
        rows, numbers = held.rows[: held.filled], held.numbers[: held.filled]
        self._sent.append((held, self._thread.submit(self._flush, atom, rows, numbers)))
        if len(self._sent) > SENT:
            self._take_back()

    def _take_back(self) -> None:
        held, done = self._sent.popleft()
        done.result()
        if len(held.rows) == BUFFER_ROWS:
            held.filled = 0
            self._spare.append(held)


@dataclass(slots=True)
class _Held:
    """Room for rows of one atom and their numbers, of which the first `filled` are there."""

    rows: NDArray[Any]
    numbers: Ints
    filled: int = 0


class Collector:
    """Takes a pool's blocks during a sweep over some categories.

    After the sweep `rows` looks up stored rows and `moments` gives the sums of each large atom.
    """

    def __init__(
        self,
        plan: PoolPlan,
        stored: Ints,
        lasting: RowStore,
        dtype: np.dtype[Any],
        shift: F64,
        backend: Backend,
        energies: Energies | None = None,
    ) -> None:
        """Keep the rows of these sorted numbers; `lasting` and `energies` outlive the sweep."""
        self.plan, self._lasting, self._shift, self._backend = plan, lasting, shift, backend
        self._store = RowStore(stored, plan.dim, dtype)
        self.dtype, self.mode = dtype, backend.mode
        self._buffers = AtomBuffers(plan.atom_rows, plan.dim, dtype, self._flush)
        self._energies = energies
        self._means: dict[int, F64] = {}
        self.moments: dict[int, Sums] = {}

    def add(self, rows: NDArray[Any], numbers: Ints) -> None:
        """Take rows [m, d] with their row numbers [m]."""
        atoms, lasting = self.plan.rows.atom_of(numbers), self.plan.lasts(numbers)
        large = self.plan.large[atoms]
        self._keep(rows, numbers, ~large & ~lasting, lasting)
        self._buffers.add(rows, numbers, atoms, np.flatnonzero(large))

    def finish(self) -> None:
        """Complete the means that were merged, and flush what is still buffered."""
        if self._means:
            rows, numbers = self.plan.rows, np.array(sorted(self._means))
            run = np.searchsorted(rows.first, numbers, side="right") - 1
            sums = np.stack([self._means[number] for number in numbers.tolist()])
            self.add(sums / rows.pairs.count[rows.step[run], None], numbers)
            self._means.clear()
        self._buffers.finish()

    def alike(self, numbers: Ints) -> Collector:
        """An empty one for fewer rows, those with these sorted numbers and of large atoms."""
        lasting = self.plan.lasts(numbers)
        kept = RowStore(numbers[lasting], self.plan.dim, self.dtype)
        energies = None if self._energies is None else Energies()
        where = (self._shift, self._backend, energies)
        return Collector(self.plan, numbers[~lasting], kept, self.dtype, *where)

    def holds(self, numbers: Ints) -> NDArray[np.bool_]:
        """[m] which rows it was made to store."""
        return self._store.has(numbers) | self._lasting.has(numbers)

    def whole(self, atom: int) -> Sums:
        """The moments of an atom, in one piece."""
        return self._backend.whole(self.moments[atom])

    @property
    def energies(self) -> Mapping[int, Energy]:
        """Those of atoms, if there are any."""
        return {} if self._energies is None else self._energies.by_atom

    def collected(
        self, share: Share, form: Mapping[str, Form], means: Mapping[int, F64]
    ) -> Collected:
        """What is held after a pass over a share's tokens, with its sums of crossing means.

        It rests on this collector's memory.
        """
        return Collected.of(share, form, self.rows, self.whole, self.energies, means)

    def merge(self, collected: Collected, categories: range) -> None:
        """Add what was collected of these categories in another pass, one range after another."""
        for numbers, rows in collected.rows(categories):
            lasting = self.plan.lasts(numbers)
            self._keep(rows, numbers, ~lasting, lasting)
        for atom, sums in collected.moments(categories):
            held = self.moments.get(atom) or self._backend.zeros(self.plan.dim)
            self.moments[atom] = self._backend.merge(held, sums)
        if self._energies is not None:
            for atom, energy in collected.energies(categories):
                self._energies.add(atom, energy)
        for number, total in collected.means(categories):
            self._means[number] = self._means.get(number, 0.0) + total

    def rows(self, numbers: Ints) -> NDArray[Any]:
        """Stored rows [m, d] by number, wherever they are kept."""
        lasting = self.plan.lasts(numbers)
        if lasting.all():
            return self._lasting.get(numbers)
        rows = np.empty((len(numbers), self.plan.dim), self.dtype)
        rows[lasting] = self._lasting.get(numbers[lasting])
        rows[~lasting] = self._store.get(numbers[~lasting])
        return rows

    def _keep(
        self,
        rows: NDArray[Any],
        numbers: Ints,
        mine: NDArray[np.bool_],
        lasting: NDArray[np.bool_],
    ) -> None:
        for store, some in ((self._store, mine), (self._lasting, lasting)):
            if some.any():
                store.put(numbers[some], rows[some])

    def _flush(self, atom: int, rows: NDArray[Any], numbers: Ints) -> None:
        sums = self.moments.get(atom)
        if sums is None:
            sums = self._backend.zeros(self.plan.dim)
        self.moments[atom] = self._backend.accumulate(sums, rows, self._shift)
        if self._energies is not None:
            self._energies.take(atom, rows, numbers)

    def add_energies(self, by_atom: Mapping[int, Ints]) -> None:
        """Have the energies of atoms that are stored as rows, by their numbers, a block at a time.

        Blocks are as large as those of moments, so that sums do not depend on how rows arrived.
        """
        if self._energies is None:
            return
        for atom, numbers in by_atom.items():
            for start in range(0, len(numbers), BUFFER_ROWS):
                some = numbers[start : start + BUFFER_ROWS]
                self._energies.take(atom, self.rows(some), some)
