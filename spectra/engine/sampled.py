"""The subsamples of a pool, nested counts from the rows that are stored for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend
from spectra.engine.collect import RowStore
from spectra.engine.config import RunConfig
from spectra.engine.influence import Influence
from spectra.engine.plan import PoolPlan, Sample
from spectra.engine.solve import Normaliser, Solver, all_repaired
from spectra.engine.workers import Workers
from spectra.grouping import Group
from spectra.linalg import F64, Axes, Wanted
from spectra.linalg.rowspace import Blocks
from spectra.route import DEFAULT_ALPHA_RANKS
from spectra.uncertainty import Blocks as TraceBlocks
from spectra.uncertainty import Carried


class Samples:
    """Solves a plan's subsamples: `begin` all, `wait`, then take what was found."""

    def __init__(
        self,
        plan: PoolPlan,
        stored: RowStore,
        shift: F64,
        backend: Backend,
        config: RunConfig,
        workers: Workers,
        influence: Influence | None,
    ) -> None:
        """For rows that are `stored` by the time of `begin`, moments taken around `shift`."""
        self._plan, self._stored, self._shift, self._backend = plan, stored, shift, backend
        self._row_norm, self._centered = config.chosen.row_norm, config.chosen.centered
        self._wanted: Wanted = "centered" if self._centered else "uncentered"
        alpha = config.chosen.alpha_ranks or DEFAULT_ALPHA_RANKS
        self._normaliser: Callable[[], Normaliser[tuple[int, int]]] = lambda: Normaliser(
            plan.dim, backend, alpha, workers
        )
        self._solver: Solver[tuple[int, int]] = Solver(
            plan.dim, shift, backend, alpha, workers, influence
        )
        self._influence, self._workers = influence, workers

    def begin(self, told: Callable[[int, int], None]) -> None:
        """Have all subsamples solved; `told` of each, and of how many there are."""
        for number, sample in enumerate(self._plan.samples):
            if not self._row_norm:  # else each count's rows are normalised by themselves, later
                self._submit(number, sample)
            told(number + 1, len(self._plan.samples))

    def wait(self) -> None:
        """Wait for what is being solved."""
        self._solver.finish()

    def take_carried(self) -> dict[tuple[Group, int], Carried]:
        """What blocks of traces carry of each group and count, averaged over the repeats."""
        samples = self._plan.samples
        drawn = Counter((sample.group, count) for sample in samples for count in sample.counts)
        means: dict[tuple[Group, int], Carried] = {}
        for (number, count), found in sorted(self._solver.carried.items(), key=lambda x: x[0]):
            assert not isinstance(found, Axes), "a subsample has its rows"
            assert self._influence is not None, "nothing is carried without an influence"
            key = samples[number].group, count
            mean = means.get(key) or self._influence.nothing()
            means[key] = mean.plus(found, 1 / drawn[key])
        self._solver.carried.clear()
        return means

    def blocks_drawn(self, blocks: TraceBlocks) -> dict[tuple[Group, int], int]:
        """Of each group and count, the blocks of traces that the draw from the fewest has."""
        least: dict[tuple[Group, int], int] = {}
        for sample in self._plan.samples:
            of_row = blocks.of_trace[self._plan.rows.trace_of(sample.rows)]
            for count in sample.counts:
                key, held = (sample.group, count), len(np.unique(of_row[:count]))
                least[key] = min(held, least.get(key, held))
        return least

    def eigenvalues(self) -> dict[tuple[Group, int, int], F64]:
        """What statistics are computed from, by group, repeat and count; nothing may be solving."""
        if self._row_norm:
            found = self._normalised()
        else:
            solved = all_repaired(self._solver.results, self._blocks, self._workers)
            found = {
                key: one.centered if self._centered else one.uncentered
                for key, one in solved.items()
            }
        values = {}
        for (number, count), squares in sorted(found.items(), key=lambda x: x[0]):
            sample = self._plan.samples[number]
            values[sample.group, sample.repeat, count] = squares
        return values

    def _normalised(self) -> dict[tuple[int, int], F64]:
        normaliser = self._normaliser()
        for number, sample in enumerate(self._plan.samples):
            for count in sample.counts:
                normaliser.submit((number, count), count, self._blocks((number, count)))
        return normaliser.finish()

    def _blocks(self, key: tuple[int, int]) -> Blocks:
        """The first rows of a sample, in float64."""
        number, count = key
        rows = self._plan.samples[number].rows[:count]
        return lambda: [self._stored.get(rows).astype(np.float64)]

    def _submit(self, number: int, sample: Sample) -> None:
        """All counts of a sample in one process: the moments of one are part of the next one's."""
        keys = [(number, count) for count in sample.counts]
        if not self._solver.takes(keys, sample.counts[-1]):
            return
        rows: NDArray[np.generic] = self._stored.get(sample.rows)
        sums, done = self._backend.zeros(self._plan.dim), 0
        for count in sample.counts:
            own = sample.rows[:count]
            if count <= self._plan.dim:
                self._solver.submit((number, count), rows[:count], self._wanted, numbers=own)
                continue
            sums = self._backend.accumulate(sums, rows[done:count], self._shift)
            done = count
            self._solver.submit((number, count), sums, self._wanted, rows[:count], own)
            if count != sample.counts[-1]:
                # The solver holds the arrays that the next update would take over.
                sums = self._backend.merge(self._backend.zeros(self._plan.dim), sums)
