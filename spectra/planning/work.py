"""The operations of one layer, as the engine does them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spectra.engine import PoolPlan
from spectra.engine.dealing import Loads, cost_of
from spectra.grouping import SEGMENTS, Group
from spectra.planning.rates import Rates


@dataclass(frozen=True, slots=True)
class Task:
    """A set that is solved, or nested ones that are solved in one process.

    Attributes:
        group: whose rows.
        counts: rows of each set.
        drawn: whether it is a subsample.
    """

    group: Group
    counts: tuple[int, ...]
    drawn: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What a pool has solved and weighed.

    Attributes:
        plan: the pool's.
        tasks: in the order in which processes deal them out.
        weighed: rows of each group that a second pass weighs.
        keys: how many random keys are drawn: one for each row of a group and repeat.
    """

    plan: PoolPlan
    tasks: tuple[Task, ...]
    weighed: tuple[int, ...]
    keys: int

    @classmethod
    def of(cls, plan: PoolPlan) -> Work:
        """By the plan."""
        atoms = plan.rows.atoms
        sizes = plan.rows.sizes(atoms.basic_groups() + atoms.depth_groups())
        found = [Task(group, (sizes[group],), False) for group in _emitted(plan) if sizes[group]]
        large = [task.counts[0] for task in found if task.counts[0] > plan.dim]
        drawn = [Task(one.group, one.counts, True) for one in plan.samples]
        keys = sum(sizes[task.group] for task in drawn)
        return cls(plan, (*found, *drawn), tuple(large if plan.weighs else ()), keys)

    def orders(self) -> Counter[int]:
        """How many matrices of each order are reduced."""
        return Counter(min(count, self.plan.dim) for task in self.tasks for count in task.counts)


def moment_rows(plan: PoolPlan) -> tuple[int, int]:
    """Rows that are multiplied as they are read, and stored ones that become part of groups."""
    atoms, dim = plan.atom_rows.reshape(plan.rows.atoms.shape), plan.dim
    few = atoms * (atoms <= dim)
    later = 0
    for axis in (2, 1, 0):  # into segment_category, category_bin and segment_bin
        later += int((few.sum(axis=axis) * (atoms.sum(axis=axis) > dim)).sum())
    segments, bins = atoms.sum(axis=2), atoms.sum(axis=0)
    few_segments, few_bins = segments * (segments <= dim), bins * (bins <= dim)
    later += int((few_segments.sum(axis=1) * (segments.sum(axis=1) > dim)).sum())
    later += int((few_segments.sum(axis=0) * (segments.sum(axis=0) > dim)).sum())
    later += int((few_bins.sum(axis=0) * (bins.sum(axis=0) > dim)).sum())
    whole = segments.sum(axis=0)
    later += int((whole * (whole <= dim)).sum()) * bool(whole.sum() > dim)
    return int(plan.atom_rows[plan.large].sum()), later


def solve_operations(plan: PoolPlan, task: Task) -> float:
    """Of the products within a task."""
    dim, found = plan.dim, 0.0
    for count in task.counts:
        if count <= dim:
            found += 2 * count**2 * dim * (1 + plan.weighs)
        elif task.drawn:
            found += 2 * count * dim**2 * plan.weighs
    if task.drawn and task.counts[-1] > dim:
        found += 2 * task.counts[-1] * dim**2
    return found


def solve_seconds(plan: PoolPlan, task: Task, rates: Rates) -> float:
    """Of one device that has the task."""
    seconds = solve_operations(plan, task) / rates.weigh
    for count in task.counts:
        order = min(count, plan.dim)
        seconds += rates.reduction(order)
        if plan.weighs:
            seconds += rates.decomposition(order)
    return seconds


def dealt(works: Sequence[Work], rates: Rates, processes: int, devices: int) -> tuple[float, float]:
    """Seconds of all solves on one device, and of the process that has most, on its devices."""
    loads, own, longest = Loads(processes), [0.0] * processes, 0.0
    for one in works:
        for task in one.tasks:
            seconds = solve_seconds(one.plan, task, rates)
            own[loads.place(cost_of(task.counts[-1], one.plan.dim))] += seconds
            longest = max(longest, seconds)
    return sum(own), max(max(own) / devices, longest)


def _emitted(plan: PoolPlan) -> Iterator[Group]:
    """Groups without those that are others again, as `engine.combine.Tree` walks them."""
    twins, bins = plan.twins(), range(plan.rows.atoms.num_bins)
    for category in plan.rows.atoms.categories:
        for segment in SEGMENTS:
            yield from _own(twins, Group("segment_category", segment, category))
        yield from _own(twins, Group("category", None, category))
        for b in bins:
            yield from _own(twins, Group("category_bin", None, category, b))
    for b in bins:
        yield from _own(twins, Group("bin", None, None, b))
        for segment in SEGMENTS:
            yield from _own(twins, Group("segment_bin", segment, None, b))
    for segment in SEGMENTS:
        yield from _own(twins, Group("segment", segment))
    yield from _own(twins, Group("global"))


def _own(twins: dict[Group, Group], group: Group) -> Iterator[Group]:
    if group not in twins:
        yield group
