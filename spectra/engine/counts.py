"""How many rows, tokens, steps and traces are in each group of a pool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import Group, Ints
from spectra.pooling import PooledRows, StepTokens


class Counts(NamedTuple):
    """Rows of the pool, token rows behind them, distinct steps and distinct traces."""

    rows: int
    tokens: int
    steps: int
    traces: int


class CountTable:
    """Counts by atom, from which every group's follow."""

    def __init__(self, rows: PooledRows, pairs: StepTokens) -> None:
        """Tabulate one pool."""
        self._atoms = rows.atoms
        bins = max(rows.atoms.num_bins, 1)
        # Rows are in order of step, and in a step in order of bin: equal ones are neighbours. A
        # step has one segment and category but, by token depth, may have rows in several bins.
        new_step = np.diff(rows.step, prepend=np.int32(-1)) != 0
        new_bin = new_step | (np.diff(rows.atom, prepend=np.int32(-1)) != 0)
        step, atom = rows.step[new_bin], rows.atom[new_bin]
        self._steps_in_bins = self._grid(atom)
        self._steps = self._grid(rows.atom[new_step] // bins * bins)
        self._rows = self._tokens = self._grid(rows.atom)
        if rows.pool != "all":
            self._tokens = self._grid(rows.atom, np.diff(pairs.first)[rows.step])
        traces = int(rows.steps.trace.max(initial=-1)) + 1
        present = np.zeros((traces, rows.atoms.count), bool)
        present[rows.steps.trace[step], atom] = True
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

    def _grid(self, atom: NDArray[np.integer], weights: Ints | None = None) -> Ints:
        flat = np.bincount(atom, weights, minlength=self._atoms.count)
        return flat.astype(np.int64).reshape(self._atoms.shape)
