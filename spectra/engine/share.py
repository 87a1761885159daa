"""What a contiguous range of token rows has of a pool's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectra.engine.memory import Bytes, Limit
from spectra.engine.plan import BUFFER_ROWS, SENT, PoolPlan
from spectra.grouping import Ints
from spectra.pooling import PooledRows, kept_before, ranges


@dataclass(frozen=True, slots=True)
class Share:
    """Which rows of a pool come from the token rows [start, stop); it follows from the index.

    Attributes:
        plan: the pool's plan.
        start, stop: the range.
        stored: numbers of the rows here that are kept as rows, by atom and then by number.
        atoms: sorted numbers of the large atoms that have rows here.
        counts: how many of its rows each of these has here.
        crossing: sorted numbers of the means that have tokens here and outside.
    """

    plan: PoolPlan
    start: int
    stop: int
    stored: Ints
    atoms: Ints
    counts: Ints
    crossing: Ints

    @classmethod
    def of(cls, plan: PoolPlan, start: int, stop: int) -> Share:
        """The share of a range in a pool."""
        rows = plan.rows
        first, count, crossing = _rows_within(rows, start, stop)
        sizes = rows.per_atom(count)
        atoms = np.flatnonzero((sizes > 0) & plan.large)
        small = np.flatnonzero(~plan.large[rows.atom])
        run = np.searchsorted(rows.first, plan.lasting, side="right") - 1
        here = (plan.lasting >= first[run]) & (plan.lasting < first[run] + count[run])
        lasting = plan.lasting[here & plan.large[rows.atom[run]]]
        stored = np.concatenate([ranges(first[small], count[small]), lasting])
        stored = stored[np.lexsort((stored, rows.atom_of(stored)))]
        return cls(plan, start, stop, stored, atoms, sizes[atoms], crossing)

    @property
    def rows(self) -> int:
        """How many of the pool's rows are complete here."""
        lasting = self.plan.large[self.plan.rows.atom_of(self.stored)]
        return int(self.counts.sum()) + len(self.stored) - int(lasting.sum())

    def planned(self, limit: Limit) -> Bytes:
        """Memory that collecting it takes."""
        plan, atoms = self.plan, len(self.atoms)
        held = (atoms + SENT * (atoms > 0)) * BUFFER_ROWS
        sums = 2 * 8 * plan.dim * atoms * plan.diagnoses + 8 * plan.dim * len(self.crossing)
        return limit.place(
            (len(self.stored) + held) * plan.row_bytes + sums, atoms * 8 * plan.dim**2
        )


def _rows_within(rows: PooledRows, start: int, stop: int) -> tuple[Ints, Ints, Ints]:
    """Of each run the number of its first row in a range, and how many there are; what crosses."""
    low, high = rows.tokens()
    number, dropped = rows.first[:-1], rows.pairs.dropped
    here = np.minimum(high, stop) > np.maximum(low, start)
    if rows.pool == "mean":
        whole = (low >= start) & (high <= stop)
        return number, whole.astype(np.int64), number[here & ~whole]
    begin = np.clip(low, start, stop)
    skipped = kept_before(begin, dropped) - kept_before(low, dropped)
    count = kept_before(np.clip(high, start, stop), dropped) - kept_before(begin, dropped)
    return number + skipped, np.where(here, count, 0), np.empty(0, np.int64)


def across(rows: PooledRows, borders: Ints) -> Ints:
    """Sorted numbers of the means that have tokens on both sides of one of some sorted borders."""
    if rows.pool != "mean":
        return np.empty(0, np.int64)
    low, high = rows.tokens()
    here = np.searchsorted(borders, low, side="right") < np.searchsorted(borders, high, side="left")
    return np.sort(rows.first[:-1][here & (rows.length > 0)])
