"""One pool's way through the sweeps: collect, combine, solve, and look again where needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spectra.artifacts import RowReader
from spectra.backend import Backend, Sums
from spectra.engine.check import relative_error, to_check
from spectra.engine.collect import Collector, RowStore
from spectra.engine.combine import Part, Tree
from spectra.engine.config import RunConfig
from spectra.engine.dealing import Arrays, cost_of
from spectra.engine.energies import Energies
from spectra.engine.influence import Influence, SecondPass
from spectra.engine.leave_out import LeaveOut, Without
from spectra.engine.plan import PoolPlan
from spectra.engine.repair import Repairs
from spectra.engine.sampled import Samples
from spectra.engine.solve import Normaliser, Solver, all_repaired
from spectra.engine.stream import Stream
from spectra.engine.workers import Workers
from spectra.grouping import Group, Ints
from spectra.linalg import F64, Axes, Spectra, Wanted
from spectra.linalg.rowspace import Blocks
from spectra.pooling import PooledRows, kept_before, ranges
from spectra.route import DEFAULT_ALPHA_RANKS
from spectra.uncertainty import Blocks as TraceBlocks
from spectra.uncertainty import Carried
from spectra.uncertainty.halves import HALVED_FROM, split_in_halves

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
        without: each group without each of its blocks, for an exact jackknife.
        halves: large groups without each half of the blocks, a split after the other.
        sampled_carried: the same of a group and count, averaged over the repeats.
        energies: each atom's sums by dimension, if they were asked for.
        columns: [d] numbers of the states' dimensions that the rows have.
        stored: the type that the rows were rounded to; None where they are means.
        sampled_blocks: of the same, the blocks of the draw that has the fewest.
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
    without: dict[Group, Without] = field(default_factory=dict)
    halves: dict[Group, list[Without]] = field(default_factory=dict)
    sampled_carried: dict[tuple[Group, int], Carried] = field(default_factory=dict)
    energies: Energies | None = None
    columns: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    stored: np.dtype[Any] | None = None
    sampled_blocks: dict[tuple[Group, int], int] = field(default_factory=dict)
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
        means = plan.rows.pool == "mean"
        self.result = PoolResult(
            plan,
            energies=Energies() if plan.diagnoses else None,
            columns=reader.columns,
            stored=None if means else reader.dtype,
        )
        self._plan, self._shift, self._backend = plan, shift, backend
        self._config, self._convention = config, config.chosen
        self._alpha = config.chosen.alpha_ranks or DEFAULT_ALPHA_RANKS
        self._counted_alone: Wanted = "centered" if config.chosen.centered else "uncentered"
        self._dtype = np.dtype(np.float64) if means else reader.dtype
        self._lasting = RowStore(plan.lasting, plan.dim, self._dtype)
        self._workers = workers
        self._influence: Influence | None = None
        if config.weighs:
            self._influence = Influence(plan.rows, plan.dim, shift, backend, config.chosen, blocks)
        self._solver: Solver[Group] = Solver(
            plan.dim, shift, backend, self._alpha, workers, self._influence
        )
        self._samples = Samples(
            plan, self._lasting, shift, backend, config, workers, self._influence
        )
        self._twins = plan.twins()
        self._tree = Tree(plan, shift, backend, self._emit)
        self._by_atom = _numbers_by_atom(plan)

    def open(self, categories: range) -> Collector:
        """What takes the rows of these categories while they stream by."""
        return Collector(
            *(self._plan, self._plan.stored(categories), self._lasting, self._dtype),
            *(self._shift, self._backend, self.result.energies),
        )

    def close(self, categories: range, collector: Collector, progress: Progress) -> None:
        """Have what is complete after these categories solved."""
        numbers = dict(enumerate(self._by_atom))
        here = np.flatnonzero(self._plan.among(categories) & ~self._plan.large)
        collector.add_energies({atom: numbers[atom] for atom in here.tolist()})
        total = len(self._plan.rows.atoms.categories)
        for c in categories:
            self._tree.category(c, collector, numbers)
            progress(f"solving {self._plan.rows.pool}", c + 1, total)
        if categories.stop == total:
            self._tree.finish(collector)
            stage = f"matched counts {self._plan.rows.pool}"
            self._samples.begin(lambda done, whole: progress(stage, done, whole))

    def wait(self) -> None:
        """Wait for what is being solved."""
        self._solver.finish()
        self._samples.wait()

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
        result.sampled_carried |= self._samples.take_carried()
        if self._influence is not None:
            result.sampled_blocks = self._samples.blocks_drawn(self._influence.blocks)
        self._solver.carried.clear()

    @property
    def unresolved(self) -> list[Group]:
        """The groups, after `wait`, whose moments do not serve and whose rows were not seen."""
        return [
            group
            for group, spectra in self._solver.results.items()
            if spectra.fault is not None and spectra.method == "moments"
        ]

    def repairs(self, room: int) -> Repairs:
        """What takes rows of unresolved groups once more: one at least, others as room allows."""
        groups = self.unresolved
        return Repairs(self._plan.rows, groups, room, self._shift, self._dtype, self._workers)

    def note_repaired(self, repairs: Repairs) -> None:
        """Take what was found of the rows in place of what moments gave."""
        for group, found in repairs.finish().items():
            spectra = self._solver.results[group]
            assert spectra.fault is not None, "a resolved group was repaired"
            if self._workers.deal.processes.rank == 0:  # all take note; one counts
                self._workers.note_repair(spectra.fault)
            self._solver.results[group] = spectra.repaired_by(found)

    def finish(self, stream: Stream, bad: Ints) -> None:
        """Repair unresolved spectra, row-normalise, note bad rows; nothing may be solving."""
        rows, result = self._plan.rows, self.result
        result.bad, result.bad_tokens, result.bad_behind = bad_rows(rows, bad)
        result.spectra = all_repaired(
            self._solver.results, lambda group: self._group_blocks(group, stream), self._workers
        )
        if self._convention.row_norm:
            result.eigenvalues = self._normalised(stream)
        else:
            result.eigenvalues = {
                group: self._counted(solved) for group, solved in result.spectra.items()
            }
        for group, same in self._twins.items():
            result.spectra[group] = result.spectra[same]
            result.eigenvalues[group] = result.eigenvalues[same]
            if same in result.carried:
                result.carried[group] = result.carried[same]
        result.sampled = self._samples.eigenvalues()

    def leave_out(self, stream: Stream, blocks: TraceBlocks, room: int) -> None:
        """Have every group without each of its blocks; sums take about `room` bytes at a time."""
        found = self._leave_out().find(stream, blocks.of_trace, room)
        self.result.without = self._with_twins(found)

    def halve(self, stream: Stream, blocks: TraceBlocks, room: int, splits: int, seed: int) -> None:
        """Have the large groups of each half of the blocks, split at random so many times."""
        rows = self._plan.rows
        sizes = np.bincount(
            blocks.of_trace[rows.pairs.steps.trace[rows.step]],
            rows.length,
            minlength=len(blocks),
        )
        for split in range(splits):
            halves = split_in_halves(sizes, rows.pool, split, seed)[blocks.of_trace]
            least = HALVED_FROM * self._plan.dim
            found = self._with_twins(self._leave_out().find(stream, halves, room, least))
            for group, one in found.items():
                self.result.halves.setdefault(group, []).append(one)

    def _leave_out(self) -> LeaveOut:
        return LeaveOut(
            *(self._plan, self._shift, self._backend, self._config, self._workers, self._dtype)
        )

    def _with_twins(self, found: dict[Group, Without]) -> dict[Group, Without]:
        twins = {group: found[same] for group, same in self._twins.items() if same in found}
        return found | twins

    def check(self, stream: Stream, seed: int) -> None:
        """Measure the error of a few finished groups, their rows read again."""
        rows, result, deal = self._plan.rows, self.result, self._workers.deal
        groups = rows.atoms.basic_groups() + rows.atoms.depth_groups()
        chosen = to_check(groups, result.spectra, seed)
        found: dict[Group, Arrays] = {}
        for group in chosen:
            if deal.mine(cost_of(result.spectra[group].rows, self._plan.dim)):
                own = np.concatenate(list(self._group_blocks(group, stream)()))
                values = result.eigenvalues[group]
                found[group] = {"error": np.array([relative_error(values, own, self._convention)])}
        for group, arrays in deal.shared(chosen, found).items():
            result.checked[group] = float(arrays["error"][0])

    def _emit(self, group: Group, part: Part, collector: Collector) -> None:
        if group in self._twins:
            return
        rows = part.rows if isinstance(part, Sums) else len(part)
        if rows == 0 or not self._solver.takes([group], rows):
            return
        wanted: Wanted = "both" if group.bin is None else self._counted_alone
        if isinstance(part, Sums):
            self._solver.submit(group, part, wanted)
        else:
            self._solver.submit(group, collector.rows(part), wanted, numbers=part)

    def _counted(self, spectra: Spectra) -> F64:
        """The squared singular values that a convention without normalised rows counts."""
        return spectra.centered if self._convention.centered else spectra.uncentered

    def _normalised(self, stream: Stream) -> dict[Group, F64]:
        """The squared singular values of the groups, the rows of each normalised by themselves."""
        normaliser: Normaliser[Group] = Normaliser(
            self._plan.dim, self._backend, self._alpha, self._workers
        )
        for group, solved in self.result.spectra.items():
            normaliser.submit(group, solved.rows, self._group_blocks(group, stream))
        return normaliser.finish()

    def _group_blocks(self, group: Group, stream: Stream) -> Blocks:
        """A group's rows in float64, read again from the shards."""
        rows = self._plan.rows

        def blocks() -> Iterator[F64]:
            for _, block, _ in stream.blocks([rows], [rows.atoms.mask(group)]):
                yield block.astype(np.float64)

        return blocks


def _numbers_by_atom(plan: PoolPlan) -> list[Ints]:
    """Of each atom kept as rows their numbers, in order; of the others none."""
    atom, sizes = plan.rows.atom, np.where(plan.large, 0, plan.atom_rows)
    small = np.flatnonzero(~plan.large[atom])
    numbers = plan.rows.numbers(small[np.argsort(atom[small], kind="stable")])
    return np.split(numbers, np.cumsum(sizes)[:-1])


def bad_rows(rows: PooledRows, bad: Ints) -> tuple[Ints, Ints, Ints]:
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
