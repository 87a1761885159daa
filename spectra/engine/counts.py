"""How many rows, tokens, steps and traces are in each group of a pool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import Group, Ints
from spectra.pooling import PooledRows


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
        self._atoms = rows.atoms

        def grid(weights: NDArray[np.integer | np.bool_]) -> Ints:
            return rows.per_atom(weights).reshape(rows.atoms.shape)

        # A step has one segment and category but, by token depth, may have runs in several bins:
        # each of those has the step, and so has, once, whatever holds them all.
        self._steps_in_bins = grid(np.ones_like(rows.step))
        self._steps = grid(np.diff(rows.step, prepend=-1) != 0)
        self._rows = self._tokens = grid(rows.length)
        if rows.pool != "all":
            self._tokens = grid(rows.pairs.count[rows.step])
        trace = rows.pairs.steps.trace
        traces = int(trace.max(initial=-1)) + 1
        present = np.zeros((traces, rows.atoms.count), bool)
        present[trace[rows.step], rows.atom] = True
        self._present = present.reshape(traces, *rows.atoms.shape)

    def of(self, group: Group) -> Counts:
        """The counts of one group."""
        cells = self._atoms.cells(group)
        steps = self._steps if group.bin is None else self._steps_in_bins
        traces = self._present[(slice(None), *cells)].any(axis=(1, 2, 3))
        return Counts(
            int(self._rows[cells].sum()),
            int(self._tokens[cells].sum()),
            int(steps[cells].sum()),
            int(traces.sum()),
        )
