"""What blocks of traces carry of a group's statistics, and the standard errors that follow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spectra.grouping import Ints
from spectra.linalg import F64
from spectra.statistics import METRICS, Convention
from spectra.uncertainty.blocks import Blocks
from spectra.uncertainty.jackknife import variances
from spectra.uncertainty.rigidity import corrected_variance

Errors = dict[str, float | None]


class Carried(NamedTuple):
    """Sums over the rows of each trace, and of each block.

    Attributes:
        by_trace: [T, METRICS] d metric / d weight of the trace.
        leverages: [B, R] the block's share of each eigenvalue in the range that alpha is fitted
            on; None where alpha has no range, or blocks are too many for its correction to matter.
    """

    by_trace: F64
    leverages: F64 | None

    @classmethod
    def of(cls, carried: F64, traces: Ints, num_traces: int, blocks: Blocks) -> Carried:
        """The sums of what rows [n, METRICS + R] of these traces [n] carry."""
        metrics, leverages = np.split(carried, [len(METRICS)], axis=1)
        by_trace = _sums(metrics, traces, num_traces)
        if leverages.shape[1] == 0:
            return cls(by_trace, None)
        return cls(by_trace, _sums(leverages, blocks.of_trace[traces], len(blocks)))

    @classmethod
    def from_arrays(cls, arrays: Sequence[F64]) -> Carried:
        """What `arrays` gave."""
        return cls(arrays[0], arrays[1] if len(arrays) > 1 else None)

    def arrays(self) -> list[F64]:
        """What there is of it: sums of rows, each, which add up."""
        return [self.by_trace] if self.leverages is None else [self.by_trace, self.leverages]

    def plus(self, other: Carried, share: float) -> Carried:
        """With a share of another's added, for averages over subsamples."""
        return Carried(
            self.by_trace + share * other.by_trace,
            None
            if self.leverages is None or other.leverages is None
            else self.leverages + share * other.leverages,
        )

    def errors(
        self,
        blocks: Blocks,
        holding: Ints,
        count: int,
        convention: Convention,
        values: Mapping[str, float | None],
        ceiling: int,
    ) -> Errors | None:
        """Standard errors of the metrics that have a value; None without two blocks or a value.

        Args:
            blocks: which traces belong together.
            holding: numbers of the blocks that have rows.
            count: how many they are, or of draws, how many the draw from the fewest has.
            convention: the metrics' definition.
            values: the metrics.
            ceiling: how many eigenvalues there are, min(n - 1, d).
        """
        if count < 2 or all(value is None for value in values.values()):
            return None
        squares = variances(self.by_trace, count, blocks)
        found = dict(zip(METRICS, squares.tolist(), strict=True))
        ranks, alpha = convention.alpha_ranks, values["alpha_req"]
        if ranks is not None and alpha is not None and self.leverages is not None:
            own = self.leverages[holding]
            found["alpha_req"] = corrected_variance(found["alpha_req"], own, ranks, alpha, ceiling)
        return {name: _root(found[name]) if values[name] is not None else None for name in METRICS}


def _root(square: float) -> float | None:
    return math.sqrt(square) if math.isfinite(square) else None


def _sums(values: F64, places: Ints, count: int) -> F64:
    """[count, M] sums of values [n, M] by place."""
    columns = values.shape[1]
    # One pass over all cells, several times as fast as a pass a column.
    cells = places[:, None] * columns + np.arange(columns)
    sums = np.bincount(cells.ravel(), values.ravel(), minlength=count * columns)
    return np.asarray(sums, np.float64).reshape(count, columns)
