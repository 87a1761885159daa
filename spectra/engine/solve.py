"""From parts to spectra: batches for the backend, the sure route where a Gram falls short."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums, usable_cores
from spectra.linalg import (
    F64,
    Reduced,
    Spectra,
    normalised_rows,
    solve,
    spectra_of_blocks,
    zero_length,
)
from spectra.linalg.rowspace import Blocks

Key = TypeVar("Key", bound=Hashable)


class Solver(Generic[Key]):
    """Reduces rows or moments in batches; `results` holds a spectrum a key after `finish`."""

    def __init__(
        self, dim: int, shift: F64, backend: Backend, alpha_ranks: tuple[int, int]
    ) -> None:
        """Solve for rows of width dim whose moments were taken around `shift`."""
        self._dim, self._shift, self._backend, self._alpha = dim, shift, backend, alpha_ranks
        self._moments: list[tuple[Key, Sums]] = []
        self._rows: list[tuple[Key, NDArray[Any]]] = []
        self._threads = ThreadPoolExecutor(usable_cores())
        self.results: dict[Key, Spectra] = {}

    def submit(self, key: Key, part: Sums | NDArray[Any]) -> None:
        """Queue a set of at least one row: its moments, or its rows [n, d]."""
        if isinstance(part, Sums):
            self._moments.append((key, part))
        else:
            self._rows.append((key, part))
        # Moments are large: a queue of them that is half as long keeps the cores busy, too.
        if max(2 * len(self._moments), len(self._rows)) >= self._backend.batch:
            self.finish()

    def finish(self) -> None:
        """Solve what is queued."""
        if self._moments:
            keys, sums = zip(*self._moments, strict=True)
            reduced = self._backend.reduce_moments(sums, self._shift)
            solved = self._threads.map(self._solve_moments, reduced, sums)
            self.results.update(zip(keys, solved, strict=True))
            self._moments.clear()
        if self._rows:
            keys, rows = zip(*self._rows, strict=True)
            solved = self._threads.map(self._solve_rows, self._backend.reduce_rows(rows), rows)
            self.results.update(zip(keys, solved, strict=True))
            self._rows.clear()

    def _solve_moments(self, reduced: Reduced, sums: Sums) -> Spectra:
        return solve(reduced, sums.rows, self._dim, "moments", self._alpha)

    def _solve_rows(self, reduced: Reduced, rows: NDArray[Any]) -> Spectra:
        """With the rows at hand, a spectrum that is not resolved is repaired at once."""
        spectra = solve(reduced, len(rows), self._dim, "rows", self._alpha)
        return repaired(spectra, lambda: [rows.astype(np.float64)])


def repaired(spectra: Spectra, blocks: Blocks) -> Spectra:
    """The same spectra where they are resolved, else by QR and SVD of the rows."""
    if spectra.resolved:
        return spectra
    return spectra.repaired_by(spectra_of_blocks(blocks, spectra.dim))


def normalised_eigenvalues(
    blocks: Blocks, rows: int, dim: int, backend: Backend, alpha_ranks: tuple[int, int]
) -> F64:
    """Squared singular values [min(n, d)] of rows that are centred and scaled to length 1."""
    total, energy = np.zeros(dim), 0.0
    for block in blocks():
        total += block.sum(axis=0)
        energy += float(np.vdot(block, block))
    mean, zero = total / rows, zero_length(rows, dim, energy)

    def unit_blocks() -> Any:
        return (normalised_rows(block, mean, zero) for block in blocks())

    origin = np.zeros(dim)
    solver: Solver[None] = Solver(dim, origin, backend, alpha_ranks)
    if rows <= dim:
        solver.submit(None, np.concatenate(list(unit_blocks())))
    else:
        sums = backend.zeros(dim)
        for block in unit_blocks():
            sums = backend.accumulate(sums, block, origin)
        solver.submit(None, sums)
    solver.finish()
    return repaired(solver.results[None], unit_blocks).uncentered
