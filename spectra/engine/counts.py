"""How many rows, tokens, steps and traces are in each group of a pool."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import SEGMENTS, Group, Ints
from spectra.pooling import PooledRows

Axes = tuple[bool, bool, bool]
"""Whether a kind of group tells categories, segments and bins apart."""


class Counts(NamedTuple):
    """Rows of the pool, token rows behind them, distinct steps and distinct traces."""

    rows: int
    tokens: int
    steps: int
    traces: int


class CountTable:
    """Counts by atom, from which every group's follow."""

    def __init__(self, rows: PooledRows) -> None:
        """Tabulate one pool."""
        self._atoms, self._pooled = rows.atoms, rows

        def grid(weights: NDArray[np.integer | np.bool_]) -> Ints:
            return rows.per_atom(weights).reshape(rows.atoms.shape)

        # A step has one segment and category but, by token depth, may have runs in several bins:
        # each of those has the step, and so has, once, whatever holds them all.
        self._steps_in_bins = grid(np.ones_like(rows.step))
        self._steps = grid(np.diff(rows.step, prepend=-1) != 0)
        self._rows = self._tokens = grid(rows.length)
        if rows.pool != "all":
            self._tokens = grid(rows.pairs.count[rows.step])
        self._listed: dict[Axes, tuple[Ints, Ints]] = {}

    def of(self, group: Group) -> Counts:
        """The counts of one group."""
        cells = self._atoms.cells(group)
        steps = self._steps if group.bin is None else self._steps_in_bins
        return Counts(
            int(self._rows[cells].sum()),
            int(self._tokens[cells].sum()),
            int(steps[cells].sum()),
            len(self.traces(group)),
        )

    def rows_by_trace(self, group: Group) -> Ints:
        """[T] a group's rows in each trace."""
        rows = self._pooled
        runs = np.flatnonzero(self._atoms.mask(group)[rows.atom])
        trace = rows.pairs.steps.trace[rows.step[runs]]
        return np.bincount(trace, rows.length[runs], minlength=self._traces).astype(np.int64)

    def traces(self, group: Group) -> Ints:
        """Sorted numbers of the traces that have rows in a group."""
        axes = group.category is not None, group.segment is not None, group.bin is not None
        if axes not in self._listed:
            self._listed[axes] = self._list(axes)
        traces, first = self._listed[axes]
        place = np.ravel_multi_index(
            (
                0 if group.category is None else self._atoms.categories.index(group.category),
                0 if group.segment is None else SEGMENTS.index(group.segment),
                group.bin or 0,
            ),
            self._shape(axes),
        )
        return traces[first[place] : first[place + 1]]

    def _list(self, axes: Axes) -> tuple[Ints, Ints]:
        """The traces of every group of a kind, one after the other, and where each begins."""
        trace, places = self._trace_atoms
        kept = [place * told for place, told in zip(places, axes, strict=True)]
        shape = self._shape(axes)
        count = int(np.prod(shape))
        found = np.unique(np.ravel_multi_index(tuple(kept), shape) * self._traces + trace)
        groups, traces = found // self._traces, found % self._traces
        return traces, np.searchsorted(groups, np.arange(count + 1))

    def _shape(self, axes: Axes) -> tuple[int, ...]:
        return tuple(
            max(size, 1) if told else 1 for size, told in zip(self._atoms.shape, axes, strict=True)
        )

    @property
    def _traces(self) -> int:
        return max(self._pooled.pairs.steps.num_traces, 1)

    @cached_property
    def _trace_atoms(self) -> tuple[Ints, tuple[Ints, ...]]:
        """The distinct pairs of trace and atom: traces, and the atoms' places in the grid."""
        rows = self._pooled
        trace = rows.pairs.steps.trace[rows.step]
        pairs = np.unique(trace * rows.atoms.count + rows.atom)
        atom = pairs % max(rows.atoms.count, 1)
        places = np.unravel_index(atom, tuple(max(size, 1) for size in rows.atoms.shape))
        return pairs // max(rows.atoms.count, 1), places
