"""Groups that moments do not resolve: their rows once more, for all of them together.

Rows are cut in cells, each of which is wholly in a group or wholly outside. A cell's rows are
folded into a triangular factor of the size of its moments, and the factors of a group's cells into
that of the group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.engine.collect import AtomBuffers
from spectra.engine.dealing import Deal, cost_of
from spectra.engine.sharing import shared_spectra
from spectra.engine.workers import Workers
from spectra.grouping import Group, Ints
from spectra.linalg import F64, Factor, Spectra, led_by_ones, spectra_of_factors
from spectra.pooling import PooledRows

LEAST_CELLS = 32
"""Cells that there is room for in any case."""


def cell_bytes(dim: int) -> int:
    """Memory of a cell's factor."""
    return 8 * (dim + 1) ** 2


class Repairs:
    """Takes a pool's rows once more and decomposes those of some groups."""

    def __init__(
        self,
        rows: PooledRows,
        groups: Sequence[Group],
        room: int,
        shift: F64,
        dtype: np.dtype[Any],
        workers: Workers,
    ) -> None:
        """Of as many of these groups as have `room` in bytes, one at least; rows as `dtype`.

        `groups` says which, `wanted` [atoms] whose rows are needed.
        """
        self.rows, self._shift, self._workers = rows, shift, workers
        in_atom = rows.per_atom(rows.length)
        self.groups: list[Group] = []
        self._cells = np.zeros(rows.atoms.count, np.int64)
        for group in groups:
            more = _split(self._cells, rows.atoms.mask(group) & (in_atom > 0))
            if self.groups and int(more.max()) * cell_bytes(len(shift)) > room:
                break
            self.groups.append(group)
            self._cells = more
        self.wanted = self._cells > 0
        self._sizes = sizes = np.bincount(self._cells, in_atom).astype(np.int64)
        self._factors = [Factor(len(shift) + 1, tall=1) for _ in sizes]
        self._energies = np.zeros(len(sizes))
        self._folding: dict[int, Future[None]] = {}
        self._buffers = AtomBuffers(sizes, len(shift), dtype, self._flush)

    @property
    def bytes(self) -> int:
        """Memory of the factors."""
        return (len(self._sizes) - 1) * cell_bytes(len(self._shift))

    def add(self, rows: NDArray[Any], numbers: Ints) -> None:
        """Take rows [m, d] of wanted atoms with their row numbers [m]."""
        cells = self._cells[self.rows.atom_of(numbers)]
        self._buffers.add(rows, numbers, cells, np.arange(len(cells)))

    def finish(self) -> dict[Group, Spectra]:
        """Spectra, a group."""
        self._buffers.finish()
        for future in self._folding.values():
            future.result()
        for whole in [self._workers.submit(factor.whole) for factor in self._factors]:
            whole.result()
        deal = self._workers.deal
        self._share(deal)
        dim = len(self._shift)
        mine = [group for group in self.groups if deal.mine(cost_of(dim, dim))]
        found = {group: self._workers.submit(self._solving(group)) for group in mine}
        own = {group: future.result() for group, future in found.items()}
        return shared_spectra(deal, self.groups, own)

    def _share(self, deal: Deal) -> None:
        """Have the factors of all processes under those of this one."""
        processes = deal.processes
        if processes.count == 1:
            return
        processes.gather("factors", len(self._factors))
        for factor in self._factors:
            for rank, data in enumerate(processes.collect(factor.whole().tobytes())):
                if rank != processes.rank:
                    factor.add(np.frombuffer(data, np.float64).reshape(-1, len(self._shift) + 1))
        self._energies = processes.total(self._energies)

    def _flush(self, cell: int, rows: NDArray[Any], numbers: Ints) -> None:
        """Have rows folded into their cell's factor, after those before them."""
        wide = rows.astype(np.float64)
        self._energies[cell] += float(np.vdot(wide, wide))
        led, factor = led_by_ones(wide, self._shift), self._factors[cell]
        if cell in self._folding:
            self._folding[cell].result()
        self._folding[cell] = self._workers.submit(lambda: factor.add(led))

    def _solving(self, group: Group) -> Callable[[], Spectra]:
        mask = self.rows.atoms.mask(group)
        cells = np.setdiff1d(np.unique(self._cells[mask]), [0])
        factors = [self._factors[cell] for cell in cells.tolist()]
        rows, energy = int(self._sizes[cells].sum()), float(self._energies[cells].sum())

        def solve() -> Spectra:
            whole = (factor.whole() for factor in factors)
            return spectra_of_factors(whole, self._shift, rows, energy)

        return solve


def _split(cells: Ints, mask: NDArray[np.bool_]) -> Ints:
    """[atoms] the cells with one more group of these atoms; 0 where no group has an atom."""
    signs = 2 * cells + mask
    names = np.unique(signs[signs > 0])
    return np.where(signs > 0, np.searchsorted(names, signs) + 1, 0)
