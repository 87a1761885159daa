"""From parts to spectra, beside what follows; the sure route where a Gram falls short."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums, own_threads_blas
from spectra.engine.dealing import Deal, cost_of
from spectra.engine.influence import Influence
from spectra.engine.sharing import Solved, shared_results, shared_spectra
from spectra.engine.workers import Workers
from spectra.grouping import Ints
from spectra.linalg import (
    F64,
    Axes,
    Method,
    Reduced,
    Spectra,
    Wanted,
    normalised_rows,
    solve,
    spectra_of_blocks,
    zero_length,
)
from spectra.linalg.rowspace import Blocks
from spectra.uncertainty import Carried

Key = TypeVar("Key", bound=Hashable)


class _Task(NamedTuple):
    """A set to solve: its moments where there are any, and its rows where they are at hand."""

    sums: Sums | None
    rows: NDArray[Any] | None
    numbers: Ints | None
    wanted: Wanted


class Solver(Generic[Key]):
    """Solves rows or moments beside what follows.

    Sets are dealt out to processes: `takes` tells whether one is to be submitted here. After
    `finish` `results` holds spectra a key, whoever solved it, and `carried` what traces carry of
    the statistics.
    """

    def __init__(
        self,
        dim: int,
        shift: F64,
        backend: Backend,
        alpha_ranks: tuple[int, int],
        workers: Workers,
        influence: Influence | None = None,
        deal: Deal | None = None,
    ) -> None:
        """Solve for rows of width dim whose moments were taken around `shift`.

        Sets are dealt out as the workers' are, or by another `deal`.
        """
        self._dim, self._shift, self._backend, self._alpha = dim, shift, backend, alpha_ranks
        self._workers, self._influence = workers, influence
        self._deal = workers.deal if deal is None else deal
        self._keys: list[Key] = []
        self._sent: list[tuple[Key, Future[Solved]]] = []
        self.results: dict[Key, Spectra] = {}
        self.carried: dict[Key, Carried | Axes] = {}

    def takes(self, keys: Sequence[Key], rows: int) -> bool:
        """Whether these sets, of so many rows at most, are to be submitted in this process.

        All processes ask for all sets, in the same order.
        """
        self._keys += keys
        return self._deal.mine(cost_of(rows, self._dim))

    def submit(
        self,
        key: Key,
        part: Sums | NDArray[Any],
        wanted: Wanted = "both",
        rows: NDArray[Any] | None = None,
        numbers: Ints | None = None,
    ) -> None:
        """Solve a set of at least one row: its moments, or its rows [n, d].

        None of them may change until `finish`. Waits where enough is under way. For what traces
        carry, the rows' `numbers` are needed, and with moments the `rows` [n, d] too: without them
        `carried` has the axes.
        """
        if isinstance(part, Sums):
            task = _Task(part, rows, numbers, wanted)
        else:
            task = _Task(None, part, numbers, wanted)
        self._sent.append((key, self._workers.submit(lambda: self._solved(task))))

    def finish(self) -> None:
        """Wait for all that was submitted, here and elsewhere."""
        own = {key: future.result() for key, future in self._sent}
        solved = shared_results(self._deal, self._keys, own, self._backend)
        for key, (spectra, carried) in solved.items():
            self.results[key] = spectra
            if carried is not None:
                self.carried[key] = carried
        self._sent.clear()
        self._keys.clear()

    def _solved(self, task: _Task) -> Solved:
        return self._spectra(task), self._carried(task)

    def _spectra(self, task: _Task) -> Spectra:
        """From rows, one that is not resolved is repaired at once."""
        if task.sums is not None:
            reduced = self._backend.reduce_moments(task.sums, self._shift)
            with self._workers.clock("solve"):
                return self._solve(reduced, task.sums.rows, "moments", task.wanted)
        rows = task.rows
        assert rows is not None, "neither rows nor moments"
        reduced = self._backend.reduce_rows(rows)
        with self._workers.clock("solve"):
            spectra = self._solve(reduced, len(rows), "rows", task.wanted)
            return repaired(spectra, lambda: [rows.astype(np.float64)], self._workers)

    def _solve(self, reduced: Reduced, rows: int, method: Method, wanted: Wanted) -> Spectra:
        return solve(reduced, rows, self._dim, method, self._alpha, wanted)

    def _carried(self, task: _Task) -> Carried | Axes | None:
        if self._influence is None:
            return None
        if task.rows is not None:
            assert task.numbers is not None, "rows without numbers belong to no trace"
            return self._influence.of_rows(task.rows, task.numbers, task.sums)
        assert task.sums is not None, "neither rows nor moments"
        return self._influence.of_moments(task.sums)


def repaired(spectra: Spectra, blocks: Blocks, workers: Workers) -> Spectra:
    """The same spectra where they are resolved, else by QR and SVD of the rows, which is noted."""
    if spectra.fault is None or spectra.method == "svd":
        return spectra
    workers.note_repair(spectra.fault)
    return spectra.repaired_by(spectra_of_blocks(blocks, spectra.dim))


def all_repaired(
    spectra: Mapping[Key, Spectra],
    blocks: Callable[[Key], Blocks],
    workers: Workers,
    deal: Deal | None = None,
    held: Collection[Key] | None = None,
) -> dict[Key, Spectra]:
    """Each `repaired`, one after the other, on all cores: for when nothing else is under way.

    Dealt out as the workers' tasks are, or by another `deal`; where this process alone has the
    blocks of the keys that are `held`, each is repaired where its blocks are.
    """
    deal = workers.deal if deal is None else deal
    broken = [key for key, one in spectra.items() if one.fault and one.method != "svd"]
    if held is not None:
        mine = [key for key in broken if key in held]
    else:
        mine = [key for key in broken if deal.mine(cost_of(spectra[key].rows, spectra[key].dim))]
    with own_threads_blas():
        own = {key: repaired(spectra[key], blocks(key), workers) for key in mine}
    return {**spectra, **shared_spectra(deal, broken, own)}


class Normaliser(Generic[Key]):
    """Solves rows that are centred and scaled to length 1, beside what follows.

    A set's own mean shapes all of its rows, so its sums do not follow from those of its parts.
    """

    def __init__(
        self, dim: int, backend: Backend, alpha_ranks: tuple[int, int], workers: Workers
    ) -> None:
        """Solve for rows of width dim."""
        self._origin, self._backend, self._workers = np.zeros(dim), backend, workers
        self._solver: Solver[Key] = Solver(dim, self._origin, backend, alpha_ranks, workers)
        self._blocks: dict[Key, Blocks] = {}

    def submit(self, key: Key, rows: int, blocks: Blocks) -> None:
        """Solve a set of `rows` rows, 1 or more, whose blocks are gone through twice or thrice."""
        dim = len(self._origin)
        if not self._solver.takes([key], rows):
            return
        total, energy = np.zeros(dim), 0.0
        for block in blocks():
            total += block.sum(axis=0)
            energy += float(np.vdot(block, block))
        mean, zero = total / rows, zero_length(rows, dim, energy)

        def unit_blocks() -> Iterator[F64]:
            return (normalised_rows(block, mean, zero) for block in blocks())

        self._blocks[key] = unit_blocks
        if rows <= dim:
            self._solver.submit(key, np.concatenate(list(unit_blocks())), "uncentered")
            return
        sums = self._backend.zeros(dim)
        for block in unit_blocks():
            sums = self._backend.accumulate(sums, block, self._origin)
        self._solver.submit(key, sums, "uncentered")

    def finish(self) -> dict[Key, F64]:
        """Squared singular values [min(n, d)], a key."""
        self._solver.finish()
        blocks = self._blocks
        solved = all_repaired(
            *(self._solver.results, blocks.__getitem__, self._workers), held=blocks.keys()
        )
        return {key: spectra.uncentered for key, spectra in solved.items()}
