"""The rows of the four step poolings: where each comes from and which atom it belongs to.

all    one row a (token, step) pair;
mean   the float64 mean of a step's token rows;
first  the first token row of a step;
last   the last one.

Empty steps have no row. Tokens outside every step belong to no group, so they have none either.
What is kept grows with the steps, not with the rows: a row follows from its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import Atoms, DepthMode, Group, Ints, Steps, step_bins

Pool = Literal["all", "mean", "first", "last"]
POOLS: tuple[Pool, ...] = get_args(Pool)


@dataclass(frozen=True, slots=True)
class StepTokens:
    """The (token, step) pairs that count, numbered in order of step and token.

    Attributes:
        steps: the index's steps.
        dropped: sorted global token rows that are left out.
        first: [S + 1] the number of each step's first pair, and of all pairs.
    """

    steps: Steps
    dropped: Ints
    first: Ints

    @classmethod
    def of(cls, steps: Steps, dropped: Ints) -> StepTokens:
        """All pairs whose token is not among `dropped` (sorted global rows)."""
        start, stop = (kept_before(border, dropped) for border in (steps.start, steps.stop))
        return cls(steps, dropped, np.concatenate([[0], np.cumsum(stop - start)]))

    @property
    def count(self) -> Ints:
        """[S] tokens of each step that count."""
        return np.diff(self.first)

    def hold(self, tokens: Ints) -> NDArray[np.bool_]:
        """Whether each global token row is in a pair."""
        order = np.argsort(self.steps.start)
        reach = np.concatenate([[0], np.maximum.accumulate(self.steps.stop[order])])
        before = np.searchsorted(self.steps.start[order], tokens, side="right")
        return np.asarray((reach[before] > tokens) & ~np.isin(tokens, self.dropped))


def kept_before(tokens: Ints, dropped: Ints) -> Ints:
    """How many rows before each global token row are not among the sorted `dropped`."""
    return np.asarray(tokens - np.searchsorted(dropped, tokens))


def kept_tokens(places: Ints, dropped: Ints) -> Ints:
    """The global token row that has so many rows before it that are not `dropped`, nor is it."""
    return np.asarray(
        places + np.searchsorted(dropped - np.arange(len(dropped)), places, side="right")
    )


def ranges(start: Ints, length: Ints) -> Ints:
    """start[0], start[0] + 1, ..., for each range in turn."""
    ends = np.cumsum(length)
    counted = np.arange(ends[-1] if len(ends) else 0)
    return np.asarray(counted + np.repeat(start - ends + length, length))


@dataclass(frozen=True, slots=True)
class PooledRows:
    """The rows of one pool, numbered in order of sample, step and token, as R runs.

    The rows of a run are of one step and one atom.

    Attributes:
        pool: which pooling.
        first: [R + 1] the number of each run's first row, and of all rows N.
        step: [R] the step's number.
        atom: [R] the atom's number.
        atoms: the grid of atoms.
        pairs: the tokens of steps that count.
    """

    pool: Pool
    first: Ints
    step: Ints
    atom: Ints
    atoms: Atoms
    pairs: StepTokens

    def __len__(self) -> int:
        """Number of rows N."""
        return int(self.first[-1])

    @property
    def length(self) -> Ints:
        """[R] rows of each run."""
        return np.diff(self.first)

    def atom_of(self, numbers: Ints) -> Ints:
        """The atom of each row."""
        return np.asarray(self.atom[self._run_of(numbers)])

    def trace_of(self, numbers: Ints) -> Ints:
        """The trace of each row."""
        return np.asarray(self.pairs.steps.trace[self.step[self._run_of(numbers)]])

    def first_token_of(self, number: int) -> int:
        """The global token row that a row is, or the first of those that it is the mean of."""
        dropped, run = self.pairs.dropped, int(self._run_of(np.array(number)))
        place = int(self.first[run])
        low = int(self.tokens()[0][run])
        if self.pool != "all":
            return low
        begin = kept_before(np.array([low]), dropped) + number - place
        return int(kept_tokens(begin, dropped)[0])

    def _run_of(self, numbers: Ints) -> Ints:
        return np.searchsorted(self.first, numbers, side="right") - 1

    def per_atom(self, weights: NDArray[np.integer | np.bool_]) -> Ints:
        """[atoms] sums of the runs' weights [R]."""
        sums = np.bincount(self.atom, weights, minlength=self.atoms.count)
        return sums.astype(np.int64)

    def sizes(self, groups: Iterable[Group]) -> dict[Group, int]:
        """Rows of each group."""
        grid = self.per_atom(self.length).reshape(self.atoms.shape)
        return {group: int(grid[self.atoms.cells(group)].sum()) for group in groups}

    def numbers(self, runs: Ints) -> Ints:
        """The rows of some runs, in the order of the runs."""
        return ranges(self.first[runs], self.length[runs])

    def members(self, atoms: NDArray[np.bool_], places: Ints) -> Ints:
        """The rows at these places among the rows of some atoms (a mask [atoms])."""
        runs = np.flatnonzero(atoms[self.atom])
        ends = np.cumsum(self.length[runs])
        found = np.searchsorted(ends, places, side="right")
        return np.asarray(self.first[runs[found] + 1] - (ends[found] - places))

    def tokens(self) -> tuple[Ints, Ints]:
        """[R] the global token rows [low, high) behind each run; dropped ones may lie between."""
        dropped, begin, end = self.pairs.dropped, np.zeros_like(self.step), self.length
        if self.pool == "all":
            begin = self.first[:-1] - self.pairs.first[self.step]
        elif self.pool == "last":
            begin = self.pairs.count[self.step] - 1
        elif self.pool == "mean":
            end = self.pairs.count[self.step]
        end = end if self.pool == "mean" else begin + end
        base = kept_before(self.pairs.steps.start, dropped)[self.step]
        return kept_tokens(base + begin, dropped), kept_tokens(base + end - 1, dropped) + 1


def pooled_rows(pool: Pool, pairs: StepTokens, num_bins: int, depth: DepthMode) -> PooledRows:
    """The rows of one pool with their atoms."""
    steps, atoms = pairs.steps, Atoms(pairs.steps.categories, num_bins)
    filled = np.flatnonzero(pairs.count)
    if pool == "all":
        borders = pairs.first
        if depth == "token":
            borders = np.concatenate([borders, _bin_borders(pairs, num_bins)])
        first = np.unique(borders)
        span_low = first[:-1]
        step = np.searchsorted(pairs.first, span_low, side="right") - 1
        span_high = span_low + 1
    else:
        step, first = filled, np.arange(len(filled) + 1)
        span_low, span_high = pairs.first[step], pairs.first[step + 1]
    if depth == "step":
        depth_bin = step_bins(steps.position[step], steps.siblings[step], num_bins)
    else:
        low, count = _trace_spans(pairs)
        trace = steps.trace[step]
        depth_bin = (span_low + span_high - 2 * low[trace]) * num_bins // (2 * count[trace])
    atom = atoms.code(steps.category[step], steps.segment[step], depth_bin)
    return PooledRows(pool, first, step, atom, atoms, pairs)


def _trace_spans(pairs: StepTokens) -> tuple[Ints, Ints]:
    """Of each trace: the number of its first pair, and how many pairs it has."""
    trace = pairs.steps.trace
    borders = np.searchsorted(trace, np.arange(pairs.steps.num_traces + 1))
    return pairs.first[borders[:-1]], np.diff(pairs.first[borders])


def _bin_borders(pairs: StepTokens, num_bins: int) -> Ints:
    """The pairs that begin a bin b > 0 of their trace, by depth (k + 1/2) / n of pair k of n."""
    low, count = _trace_spans(pairs)
    b = np.arange(1, num_bins)
    # The least k with (2k + 1) num_bins >= 2 n b: a quotient rounded up.
    begin = -((num_bins - 2 * count[:, None] * b) // (2 * num_bins))
    return np.asarray((low[:, None] + np.maximum(begin, 0)).ravel())
