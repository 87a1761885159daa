"""From parts to spectra, beside what follows; the sure route where a Gram falls short."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums, usable_cores
from spectra.linalg import (
    F64,
    Reduced,
    Spectra,
    Wanted,
    normalised_rows,
    solve,
    spectra_of_blocks,
    zero_length,
)
from spectra.linalg.rowspace import Blocks

Key = TypeVar("Key", bound=Hashable)


Part = TypeVar("Part", Sums, NDArray[Any])


class _Task(NamedTuple, Generic[Key, Part]):
    key: Key
    part: Part
    wanted: Wanted


class Solver(Generic[Key]):
    """Solves rows or moments on threads of its own; `results` holds spectra a key after `finish`.

    A task a core is under way and as many wait, so that what comes after a group overlaps with its
    reduction, and memory stays bounded.
    """

    def __init__(
        self, dim: int, shift: F64, backend: Backend, alpha_ranks: tuple[int, int]
    ) -> None:
        """Solve for rows of width dim whose moments were taken around `shift`."""
        self._dim, self._shift, self._backend, self._alpha = dim, shift, backend, alpha_ranks
        self._queued: list[_Task[Key, NDArray[Any]]] = []
        self._threads = ThreadPoolExecutor(usable_cores())
        self._running: deque[tuple[list[Key], Future[list[Spectra]]]] = deque()
        self.results: dict[Key, Spectra] = {}

    def submit(self, key: Key, part: Sums | NDArray[Any], wanted: Wanted = "both") -> None:
        """Solve a set of at least one row: its moments, or its rows [n, d].

        Neither may change until `finish`. Waits where enough is under way.
        """
        if isinstance(part, Sums):
            self._send([_Task(key, part, wanted)], self._solve_moments)
            return
        self._queued.append(_Task(key, part, wanted))
        if len(self._queued) >= self._backend.batch:
            self._send_queued()

    def finish(self) -> None:
        """Wait for all that was submitted."""
        self._send_queued()
        while self._running:
            self._take()

    def _send_queued(self) -> None:
        if self._queued:
            self._send(self._queued, self._solve_rows)
            self._queued = []

    def _send(
        self,
        tasks: list[_Task[Key, Part]],
        work: Callable[[list[_Task[Key, Part]]], list[Spectra]],
    ) -> None:
        under_way = sum(len(keys) for keys, _ in self._running)
        while self._running and under_way + len(tasks) > 2 * usable_cores():
            under_way -= self._take()
        self._running.append(([task.key for task in tasks], self._threads.submit(work, tasks)))

    def _take(self) -> int:
        """Take in what was sent first; how many groups that were."""
        keys, future = self._running.popleft()
        self.results.update(zip(keys, future.result(), strict=True))
        return len(keys)

    def _solve_moments(self, tasks: list[_Task[Key, Sums]]) -> list[Spectra]:
        reduced = self._backend.reduce_moments([task.part for task in tasks], self._shift)
        return [
            solve(one, task.part.rows, self._dim, "moments", self._alpha, task.wanted)
            for one, task in zip(reduced, tasks, strict=True)
        ]

    def _solve_rows(self, tasks: list[_Task[Key, NDArray[Any]]]) -> list[Spectra]:
        reduced = self._backend.reduce_rows([task.part for task in tasks])
        return list(map(self._of_rows, reduced, tasks))

    def _of_rows(self, reduced: Reduced, task: _Task[Key, NDArray[Any]]) -> Spectra:
        """With the rows at hand, a spectrum that is not resolved is repaired at once."""
        rows = task.part
        spectra = solve(reduced, len(rows), self._dim, "rows", self._alpha, task.wanted)
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
        solver.submit(None, np.concatenate(list(unit_blocks())), "uncentered")
    else:
        sums = backend.zeros(dim)
        for block in unit_blocks():
            sums = backend.accumulate(sums, block, origin)
        solver.submit(None, sums, "uncentered")
    solver.finish()
    return repaired(solver.results[None], unit_blocks).uncentered
