"""The rows of the four step poolings: where each comes from and which atom it belongs to.

all    one row a (token, step) pair;
mean   the float64 mean of a step's token rows;
first  the first token row of a step;
last   the last one.

Empty steps have no row. Tokens outside every step belong to no group, so they have none either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import Atoms, DepthMode, Ints, Steps, step_bins

Pool = Literal["all", "mean", "first", "last"]
POOLS: tuple[Pool, ...] = get_args(Pool)


@dataclass(frozen=True, slots=True)
class PooledRows:
    """The rows of one pool as columns [N], in order of sample, step and token.

    Attributes:
        pool: which pooling.
        token: the global token row a pooled row is (for "mean": the step's first).
        step: the step's number among `steps`.
        atom: the atom's number.
        atoms: the grid of atoms.
        steps: the index's steps; empty ones may have been emptied by dropping non-finite tokens.
    """

    pool: Pool
    token: Ints
    step: NDArray[np.int32]
    atom: NDArray[np.int32]
    atoms: Atoms
    steps: Steps

    def __len__(self) -> int:
        """Number of rows N."""
        return len(self.token)


@dataclass(frozen=True, slots=True)
class StepTokens:
    """The (token, step) pairs that count, [K], in order of step and token.

    `first` [S + 1] is where each step's pairs begin. Without dropped tokens a step's pairs are
    its range.
    """

    token: Ints
    step: NDArray[np.int32]
    first: Ints

    @classmethod
    def of(cls, steps: Steps, dropped: Ints) -> StepTokens:
        """All pairs whose token is not among `dropped` (sorted global rows)."""
        step = np.repeat(np.arange(len(steps.start), dtype=np.int32), steps.length)
        begin = np.cumsum(steps.length) - steps.length
        token = np.arange(len(step))
        token += (steps.start - begin)[step]
        if len(dropped):
            keep = ~np.isin(token, dropped)
            token, step = token[keep], step[keep]
        ends = np.cumsum(np.bincount(step, minlength=len(steps.start)))
        return cls(token, step, np.concatenate([[0], ends]))


def pooled_rows(
    pool: Pool, steps: Steps, pairs: StepTokens, num_bins: int, depth: DepthMode
) -> PooledRows:
    """The rows of one pool with their atoms."""
    atoms = Atoms(steps.categories, num_bins)
    begin, end = pairs.first[:-1], pairs.first[1:]
    if pool == "all":
        token, step = pairs.token, pairs.step
        span_low = np.arange(len(step))
        span_high = span_low + 1
    else:
        step = np.flatnonzero(end > begin).astype(np.int32)
        span_low, span_high = begin[step], end[step]
        token = pairs.token[span_high - 1 if pool == "last" else span_low]
    if depth == "step":
        depth_bin = step_bins(steps.position[step], steps.siblings[step], num_bins)
    else:
        low, count = _trace_spans(steps, pairs)
        trace = steps.trace[step]
        depth_bin = (span_low + span_high - 2 * low[trace]) * num_bins // (2 * count[trace])
    atom = atoms.code(steps.category[step], steps.segment[step], depth_bin)
    return PooledRows(pool, token, step, atom.astype(np.int32), atoms, steps)


def _trace_spans(steps: Steps, pairs: StepTokens) -> tuple[Ints, Ints]:
    """Of each trace: the number of its first pair, and how many pairs it has."""
    traces = steps.trace[pairs.step]
    borders = np.searchsorted(traces, np.arange(int(steps.trace.max(initial=-1)) + 2))
    return borders[:-1], np.diff(borders)
