"""One pool's way through the sweeps: collect, combine, solve, and look again where needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from spectra.artifacts import RowReader
from spectra.backend import Backend, Sums
from spectra.engine.check import relative_error, to_check
from spectra.engine.collect import Collector, RowStore
from spectra.engine.combine import Part, Tree
from spectra.engine.config import RunConfig
from spectra.engine.influence import Influence, SecondPass
from spectra.engine.plan import PoolPlan, Sample
from spectra.engine.solve import Key, Normaliser, Solver, all_repaired
from spectra.engine.stream import Stream
from spectra.engine.workers import Workers
from spectra.grouping import Group, Ints
from spectra.linalg import F64, Axes, Spectra, Wanted
from spectra.linalg.rowspace import Blocks
from spectra.pooling import PooledRows, kept_before, ranges
from spectra.route import DEFAULT_ALPHA_RANKS
from spectra.uncertainty import Blocks as TraceBlocks
from spectra.uncertainty import Carried

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and its whole."""


@dataclass(slots=True)
class PoolResult:
    """Spectra of one pool.

    Attributes:
        plan: the pool's plan, with the rows' labels.
        spectra: of every group that has rows.
        eigenvalues: what the convention's statistics are computed from, a group that has rows.
        sampled: the same for each subsample and count of the sweep.
        bad: sorted numbers of the pool's rows that are not finite (kept, as zeros).
        bad_tokens: the global token row of the first bad value behind each of `bad`.
        bad_behind: sorted global token rows of all bad values behind them.
        carried: what blocks of traces carry of each group that has rows.
        sampled_carried: the same of a group and count, averaged over the repeats.
        checked: the measured relative error of some groups' statistics, after `PoolJob.check`.
    """

    plan: PoolPlan
    spectra: dict[Group, Spectra] = field(default_factory=dict)
    eigenvalues: dict[Group, F64] = field(default_factory=dict)
    sampled: dict[tuple[Group, int, int], F64] = field(default_factory=dict)
    bad: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    bad_tokens: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    bad_behind: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    carried: dict[Group, Carried] = field(default_factory=dict)
    sampled_carried: dict[tuple[Group, int], Carried] = field(default_factory=dict)
    checked: dict[Group, float] = field(default_factory=dict)


class PoolJob:
    """Takes one pool from rows to spectra; the results are in `result` after `finish`."""

    def __init__(
        self,
        plan: PoolPlan,
        shift: F64,
        reader: RowReader,
        backend: Backend,
        config: RunConfig,
        workers: Workers,
        blocks: TraceBlocks,
    ) -> None:
        """Prepare for the rows of one layer, whose moments are taken around `shift`."""
        self.result = PoolResult(plan)
        self._plan, self._shift, self._backend = plan, shift, backend
        self._convention = config.chosen
        self._alpha = config.chosen.alpha_ranks or DEFAULT_ALPHA_RANKS
        self._drawn = Counter(
            (sample.group, count) for sample in plan.samples for count in sample.counts
        )
        self._counted_alone: Wanted = "centered" if config.chosen.centered else "uncentered"
        self._dtype = np.dtype(np.float64) if plan.rows.pool == "mean" else reader.dtype
        self._lasting = RowStore(plan.lasting, plan.dim, self._dtype)
        self._workers = workers
        self._influence: Influence | None = None
        if config.weighs:
            self._influence = Influence(plan.rows, plan.dim, shift, backend, config.chosen, blocks)
        self._solver: Solver[Group] = Solver(
            plan.dim, shift, backend, self._alpha, workers, self._influence
        )
        self._sampled: Solver[tuple[int, int]] = Solver(
            plan.dim, shift, backend, self._alpha, workers, self._influence
        )
        self._twins = plan.twins()
        self._tree = Tree(plan, shift, backend, self._emit)
        self._by_atom = _numbers_by_atom(plan)

    def open(self, categories: range) -> Collector:
        """What takes the rows of these categories while they stream by."""
        return Collector(
            self._plan, categories, self._lasting, self._dtype, self._shift, self._backend
        )

    def close(self, categories: range, collector: Collector, progress: Progress) -> None:
        """Have what is complete after these categories solved."""
        numbers = dict(enumerate(self._by_atom))
        total = len(self._plan.rows.atoms.categories)
        for c in categories:
            self._tree.category(c, collector, numbers)
            progress(f"solving {self._plan.rows.pool}", c + 1, total)
        if categories.stop == total:
            self._tree.finish(collector)
            for number, sample in enumerate(self._plan.samples):
                self._submit_sample(number, sample)
                total = len(self._plan.samples)
                progress(f"matched counts {self._plan.rows.pool}", number + 1, total)

    def wait(self) -> None:
        """Wait for what is being solved."""
        self._solver.finish()
        self._sampled.finish()

    def second_pass(self) -> SecondPass | None:
        """What takes the rows once more, after `wait`; None where none are needed."""
        axes = {g: found for g, found in self._solver.carried.items() if isinstance(found, Axes)}
        if self._influence is None or not axes:
            return None
        return SecondPass(self._influence, axes, self._backend, self._dtype, self._workers)

    def note_carried(self, weighed: SecondPass | None) -> None:
        """What traces carry, from the second pass and what was found without it."""
        result = self.result
        for group, found in self._solver.carried.items():
            if not isinstance(found, Axes):
                result.carried[group] = found
        if weighed is not None:
            weighed.finish()
            result.carried |= weighed.found
        for (number, count), found in sorted(self._sampled.carried.items(), key=lambda x: x[0]):
            assert not isinstance(found, Axes), "a subsample has its rows"
            assert self._influence is not None, "nothing is carried without an influence"
            key = self._plan.samples[number].group, count
            mean = result.sampled_carried.get(key) or self._influence.nothing()
            result.sampled_carried[key] = mean.plus(found, 1 / self._drawn[key])
        self._solver.carried.clear()
        self._sampled.carried.clear()

    def finish(self, stream: Stream, bad: Ints) -> None:
        """Repair unresolved spectra, row-normalise, note bad rows; nothing may be solving."""
        rows, result = self._plan.rows, self.result
        result.bad, result.bad_tokens, result.bad_behind = _bad_rows(rows, bad)
        result.spectra = all_repaired(
            self._solver.results, lambda group: self._group_blocks(group, stream)
        )
        if self._convention.row_norm:
            sizes = {group: solved.rows for group, solved in result.spectra.items()}
            result.eigenvalues = self._normalised(sizes, lambda g: self._group_blocks(g, stream))
            sampled = self._normalised(self._samples(), self._sample_blocks)
        else:
            result.eigenvalues = {
                group: self._counted(solved) for group, solved in result.spectra.items()
            }
            solved = all_repaired(self._sampled.results, self._sample_blocks)
            sampled = {key: self._counted(one) for key, one in solved.items()}
        for group, same in self._twins.items():
            result.spectra[group] = result.spectra[same]
            result.eigenvalues[group] = result.eigenvalues[same]
            if same in result.carried:
                result.carried[group] = result.carried[same]
        for (number, count), values in sorted(sampled.items()):
            sample = self._plan.samples[number]
            result.sampled[sample.group, sample.repeat, count] = values

    def check(self, stream: Stream, seed: int) -> None:
        """Measure the error of a few finished groups, their rows read again."""
        rows, result = self._plan.rows, self.result
        groups = rows.atoms.basic_groups() + rows.atoms.depth_groups()
        for group in to_check(groups, result.spectra, seed):
            own = np.concatenate(list(self._group_blocks(group, stream)()))
            values = result.eigenvalues[group]
            result.checked[group] = relative_error(values, own, self._convention)

    def _emit(self, group: Group, part: Part, collector: Collector) -> None:
        if group in self._twins:
            return
        wanted: Wanted = "both" if group.bin is None else self._counted_alone
        if isinstance(part, Sums):
            self._solver.submit(group, part, wanted)
        elif len(part):
            self._solver.submit(group, collector.rows(part), wanted, numbers=part)

    def _counted(self, spectra: Spectra) -> F64:
        """The squared singular values that a convention without normalised rows counts."""
        return spectra.centered if self._convention.centered else spectra.uncentered

    def _normalised(
        self, sizes: Mapping[Key, int], blocks: Callable[[Key], Blocks]
    ) -> dict[Key, F64]:
        """The squared singular values of sets of so many rows, each normalised by itself."""
        normaliser: Normaliser[Key] = Normaliser(
            self._plan.dim, self._backend, self._alpha, self._workers
        )
        for key, rows in sizes.items():
            normaliser.submit(key, rows, blocks(key))
        return normaliser.finish()

    def _group_blocks(self, group: Group, stream: Stream) -> Blocks:
        """A group's rows in float64, read again from the shards."""
        rows = self._plan.rows

        def blocks() -> Iterator[F64]:
            for _, block, _ in stream.blocks([rows], [rows.atoms.mask(group)]):
                yield block.astype(np.float64)

        return blocks

    def _samples(self) -> dict[tuple[int, int], int]:
        """How many rows each subsample has, by its sample's number and its count."""
        samples = enumerate(self._plan.samples)
        return {(number, count): count for number, one in samples for count in one.counts}

    def _sample_blocks(self, key: tuple[int, int]) -> Blocks:
        """The first rows of a sample, in float64."""
        number, count = key
        rows = self._plan.samples[number].rows[:count]
        return lambda: [self._lasting.get(rows).astype(np.float64)]

    def _submit_sample(self, number: int, sample: Sample) -> None:
        if self._convention.row_norm:
            return  # `finish` normalises each count's rows by themselves
        rows = self._lasting.get(sample.rows)
        sums, done = self._backend.zeros(self._plan.dim), 0
        for count in sample.counts:
            own = sample.rows[:count]
            if count <= self._plan.dim:
                key = number, count
                self._sampled.submit(key, rows[:count], self._counted_alone, numbers=own)
                continue
            sums = self._backend.accumulate(sums, rows[done:count], self._shift)
            done = count
            self._sampled.submit((number, count), sums, self._counted_alone, rows[:count], own)
            if count != sample.counts[-1]:
                # The solver holds the arrays that the next update would take over.
                sums = self._backend.merge(self._backend.zeros(self._plan.dim), sums)


def _numbers_by_atom(plan: PoolPlan) -> list[Ints]:
    """Of each atom kept as rows their numbers, in order; of the others none."""
    atom, sizes = plan.rows.atom, np.where(plan.large, 0, plan.atom_rows)
    small = np.flatnonzero(~plan.large[atom])
    numbers = plan.rows.numbers(small[np.argsort(atom[small], kind="stable")])
    return np.split(numbers, np.cumsum(sizes)[:-1])


def _bad_rows(rows: PooledRows, bad: Ints) -> tuple[Ints, Ints, Ints]:
    """Numbers of a pool's rows that rest on bad tokens (sorted, none dropped).

    With the first of these of each row, and all of them.
    """
    low, high = rows.tokens()
    before, after = np.searchsorted(bad, low), np.searchsorted(bad, high)
    found = ranges(before, after - before)
    behind = np.unique(bad[found])
    if rows.pool == "mean":
        some = np.flatnonzero(after > before)
        return some, bad[before[some]], behind
    run = np.repeat(np.arange(len(low)), after - before)
    dropped = rows.pairs.dropped
    places = kept_before(bad[found], dropped) - kept_before(low, dropped)[run]
    return rows.first[run] + places, bad[found], behind
