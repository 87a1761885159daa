"""What the shares of processes take and send, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectra.engine import PoolPlan, RunConfig, Share, forms
from spectra.planning.outline import Outline, crossing
from spectra.planning.work import Work
from spectra.statistics import METRICS
from spectra.uncertainty.weights import Weights

DIGEST_BYTES = 32
"""Of the hash at the end of a part's file."""

_STORED: dict[int, np.dtype[Any]] = {2: np.dtype(np.float16), 4: np.dtype(np.float32)}


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes of one layer that processes exchange.

    Attributes:
        moments: arrays of which all processes have one and get the sum: the moments of atoms with
            more than d rows, and their energies.
        rows: the same of stored rows, and of sums of means that cross a border.
        axes: what one process sends to all of the others, for all of them together: axes.
        results: the same of spectra and of what traces carry of groups and subsamples.
        weighed: sums of what traces carry of groups by the second pass.
    """

    moments: int
    rows: int
    axes: int
    results: int
    weighed: int

    @property
    def summed(self) -> int:
        """By each process, of arrays that are added up."""
        return self.moments + self.rows + self.weighed

    @property
    def collected(self) -> int:
        """By all processes together, of what each has of its own."""
        return self.axes + self.results

    def by_process(self, processes: int) -> float:
        """On the wire, where sums and collections go around in a ring."""
        others = (processes - 1) / processes
        return 2 * others * self.summed + others * self.collected


def sent(works: Sequence[Work], outline: Outline, config: RunConfig, passes: int) -> Sent:
    """Of one layer, whose shards are passed over so often, the second passes included."""
    moments = rows = axes = results = summed = 0
    carried = carried_bytes(outline, config)
    columns = Weights.of(config.chosen, outline.dim, outline.traces).columns
    cut = passes * crossing(outline)[0] * 8 * outline.dim
    for work in works:
        plan = work.plan
        form = _sizes(whole(plan, outline), outline)
        moments += sum(form.get(name, 0) for name in ("totals", "grams", "sums", "squares"))
        rows += form["rows"] + cut * (plan.rows.pool == "mean")
        axes += len(work.weighed) * 8 * outline.dim * (outline.dim + 1 + columns)
        summed += len(work.weighed) * carried
        for task in work.tasks:
            for count in task.counts:
                results += _spectrum_bytes(count, plan.dim, task.group.bin is None, task.drawn)
                if plan.weighs and (task.drawn or count <= plan.dim):
                    results += carried
    return Sent(moments, rows, axes, results, summed)


def carried_bytes(outline: Outline, config: RunConfig) -> int:
    """What traces carry of one group."""
    ranks = Weights.of(config.chosen, outline.dim, outline.traces).columns - len(METRICS)
    return 8 * outline.traces * (len(METRICS) + ranks)


def held_by_traces(works: Sequence[Work], outline: Outline, config: RunConfig) -> int:
    """What traces carry of all groups and subsamples that one process holds at the end."""
    if not config.weighs:
        return 0
    sets = sum(len(task.counts) for work in works for task in work.tasks)
    return sets * carried_bytes(outline, config)


def whole(plan: PoolPlan, outline: Outline) -> Share:
    """All rows as one share."""
    small = np.flatnonzero(~plan.large[plan.rows.atom])
    lasting = plan.lasting[plan.large[plan.rows.atom_of(plan.lasting)]]
    stored = np.concatenate([plan.rows.numbers(small), lasting])
    atoms = np.flatnonzero(plan.large)
    none = np.empty(0, np.int64)
    return Share(plan, 0, outline.tokens, stored, atoms, plan.atom_rows[atoms], none)


def share(plan: PoolPlan, outline: Outline, cut: int) -> Share:
    """The share of one of the processes, with so many means cut by its borders.

    It has rows of every large atom, and as many stored rows as the others.
    """
    one, processes = whole(plan, outline), outline.processes
    means = np.arange(cut if plan.rows.pool == "mean" else 0)
    stored = one.stored[: -(-len(one.stored) // processes)]
    stop = -(-outline.tokens // processes)
    return Share(plan, 0, stop, stored, one.atoms, one.counts // processes, means)


def part_bytes(plans: Sequence[PoolPlan], outline: Outline) -> int:
    """The tensors of all parts' files of one layer, where each process writes one."""
    total = 0
    for rank in range(outline.processes):
        begin = outline.tokens * rank // outline.processes
        rows = outline.tokens * (rank + 1) // outline.processes - begin
        total += 8 * outline.dim + -(-rows // 8)  # the shift, and a bit for each row
    means, cuts = crossing(outline)
    for plan in plans:
        form = _sizes(whole(plan, outline), outline)
        stored = form.pop("rows")
        total += outline.processes * sum(form.values()) + stored
        if plan.rows.pool == "mean":
            # What is cut is a sum in each of its parts, and a row in none of them.
            kept = stored // plan.row_bytes / max(len(plan.rows), 1)
            total += (means + cuts - round(means * kept)) * plan.row_bytes
    return total


def _sizes(one: Share, outline: Outline) -> dict[str, int]:
    found = forms(one, _STORED[outline.itemsize], "exact")
    return {name: form.size for name, form in found.items()}


def _spectrum_bytes(rows: int, dim: int, both: bool, drawn: bool) -> int:
    """The arrays of a `Spectra`: three where all are wanted, one of bins and subsamples."""
    centered = 8 * min(rows - 1, dim)
    numbers = 8 * 10
    return numbers + (2 * centered + 8 * min(rows, dim) if both and not drawn else centered)
