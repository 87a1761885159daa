"""What blocks of traces carry of a pool's statistics, for their standard errors.

Where a group's rows are at hand they are weighed at once. The others keep their axes, and one more
pass over the shards weighs their rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums, usable_cores
from spectra.engine.collect import AtomBuffers
from spectra.engine.workers import Workers
from spectra.grouping import Group, Ints
from spectra.linalg import F64, Axes
from spectra.pooling import PooledRows
from spectra.statistics import Convention
from spectra.uncertainty import Blocks, Carried, Weights


class Influence:
    """Weighs the rows of one pool's groups, under one convention."""

    def __init__(
        self,
        rows: PooledRows,
        dim: int,
        shift: F64,
        backend: Backend,
        convention: Convention,
        blocks: Blocks,
    ) -> None:
        """For rows of width dim, whose moments are taken around `shift`."""
        self.rows = rows
        self._shift, self._backend = shift, backend
        self._centered, self.blocks = convention.centered, blocks
        self._weights = Weights.of(convention, dim, len(blocks))

    def of_moments(self, sums: Sums) -> Axes:
        """The axes of a group known by its moments."""
        return self._backend.axes(sums, self._shift, self._centered, self._weights)

    def of_rows(self, rows: NDArray[Any], numbers: Ints, sums: Sums | None = None) -> Carried:
        """Of a group that is just these rows [n, d], known by number; its moments for n > d."""
        if sums is None:
            found = self._backend.carried_by_few(rows, self._centered, self._weights)
        else:
            (found,) = self._backend.carried(rows, [self.of_moments(sums)])
        return self.summed(found, self.rows.trace_of(numbers))

    def nothing(self) -> Carried:
        """Of no rows."""
        return self.summed(np.empty((0, self._weights.columns)), np.empty(0, np.int64))

    def summed(self, carried: F64, traces: Ints) -> Carried:
        """What rows [n, ...] of these traces [n] carry, by trace and by block."""
        return Carried.of(carried, traces, self.rows.pairs.steps.num_traces, self.blocks)


class SecondPass:
    """Takes a pool's rows once more and weighs them for the groups whose axes are known."""

    def __init__(
        self,
        influence: Influence,
        axes: Mapping[Group, Axes],
        backend: Backend,
        dtype: np.dtype[Any],
        workers: Workers,
    ) -> None:
        """For one group or more: `wanted` [atoms] says whose rows, `found` has the sums at last."""
        self._influence, self._axes, self._backend = influence, axes, backend
        self._workers = workers
        self.rows = rows = influence.rows
        masks = {group: rows.atoms.mask(group) for group in axes}
        self.wanted = np.any(list(masks.values()), axis=0)
        self._groups = {
            int(atom): [group for group, mask in masks.items() if mask[atom]]
            for atom in np.flatnonzero(self.wanted)
        }
        self.found = {group: influence.nothing() for group in axes}
        dim = len(next(iter(axes.values())).origin)
        self._buffers = AtomBuffers(rows.per_atom(rows.length), dim, dtype, self._flush)
        self._sent: deque[Future[dict[Group, Carried]]] = deque()

    def add(self, rows: NDArray[Any], numbers: Ints) -> None:
        """Take rows [m, d] of wanted atoms with their row numbers [m]."""
        self._buffers.add(rows, numbers, self.rows.atom_of(numbers), np.arange(len(numbers)))

    def finish(self) -> None:
        """Wait for all, and add up what processes found."""
        self._buffers.finish()
        while self._sent:
            self._add_oldest()
        summed = self._workers.deal.summed([x for one in self.found.values() for x in one.arrays()])
        parts = iter(summed)
        for group, one in self.found.items():
            self.found[group] = Carried.from_arrays([next(parts) for _ in one.arrays()])

    def _flush(self, atom: int, rows: NDArray[Any], numbers: Ints) -> None:
        own, traces = rows.copy(), self.rows.trace_of(numbers)
        self._sent.append(self._workers.submit(lambda: self._weigh(atom, own, traces)))
        if len(self._sent) > 4 * usable_cores():
            self._add_oldest()

    def _weigh(self, atom: int, rows: NDArray[Any], traces: Ints) -> dict[Group, Carried]:
        groups = self._groups[atom]
        found = self._backend.carried(rows, [self._axes[group] for group in groups])
        return {
            group: self._influence.summed(carried, traces)
            for group, carried in zip(groups, found, strict=True)
        }

    def _add_oldest(self) -> None:
        """In the order of their rows, so that sums do not depend on which thread was first."""
        for group, carried in self._sent.popleft().result().items():
            self.found[group] = self.found[group].plus(carried, 1.0)
