"""A run's size in a few numbers, and the engine's plans of pools of that size.

Rows are spread evenly over categories, two segments and bins of depth, so that a pool has one run
for each atom, as if it were one long step, and draws are told by their expected size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from spectra.engine import PoolPlan, RunConfig
from spectra.engine.matched import counts_of, matched_kinds
from spectra.engine.plan import Sample, asked
from spectra.errors import UsageError
from spectra.grouping import SEGMENTS, Atoms, Group, Ints, Steps
from spectra.pooling import Pool, PooledRows, StepTokens, ranges
from spectra.sampling import Draws, default_counts

MOST = 10**15
"""Rows and steps are counted in 64 bits, and so is what follows from them."""

MOST_CELLS = 10**8
"""Groups times atoms: each group is a mask of atoms."""

_NONE = np.empty(0, np.int64)
_UNDRAWN = Draws((2**62,), 1, 0, matched=False)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a plan is made from.

    Attributes:
        tokens, dim, layers: the states, [tokens, dim] for each of so many layers.
        itemsize: bytes of a value as stored.
        categories: macro categories.
        tokens_per_step: of each step.
        traces: each is a block of its own, as if it were alone with its problem.
        processes, devices: how many; each process has as many devices as the others.
    """

    tokens: int
    dim: int
    layers: int = 1
    itemsize: int = 2
    categories: int = 8
    tokens_per_step: int = 50
    traces: int = 1
    processes: int = 1
    devices: int = 1

    def __post_init__(self) -> None:
        """Check every number."""
        for name in (
            *("tokens", "dim", "layers", "categories", "tokens_per_step", "traces"),
            *("processes", "devices"),
        ):
            if not 1 <= getattr(self, name) <= MOST:
                raise UsageError(
                    f"{name} is {getattr(self, name)}. Expected a whole number from 1 to {MOST:,}."
                )
        for name, most in (("dim", 1 << 20), ("processes", 100_000), ("categories", 10_000)):
            if getattr(self, name) > most:
                raise UsageError(f"{name} is {getattr(self, name)}. Expected at most {most:,}.")
        if self.traces > self.steps:
            raise UsageError(
                f"{self.traces:,} traces have {self.steps:,} steps of {self.tokens_per_step:,} "
                "tokens. Expected a step or more in each: fewer traces, or shorter steps."
            )
        if self.devices % self.processes:
            raise UsageError(
                f"{self.devices} devices do not spread evenly over {self.processes} processes. "
                "Expected as many in each."
            )

    @property
    def steps(self) -> int:
        """Steps of all traces."""
        return -(-self.tokens // self.tokens_per_step)

    @property
    def layer_bytes(self) -> int:
        """Bytes of a layer's states."""
        return self.tokens * self.dim * self.itemsize


def pool_plans(outline: Outline, config: RunConfig) -> list[PoolPlan]:
    """What the engine would plan of each pool of one layer."""
    groups = (1 + len(SEGMENTS)) * outline.categories * config.num_bins
    if groups * groups > MOST_CELLS:
        raise UsageError(
            f"{outline.categories:,} categories in {config.num_bins:,} bins are more groups than "
            "a plan goes through. Expected fewer categories or bins."
        )
    return [_pool_plan(pool, outline, config) for pool in config.pools]


def crossing(outline: Outline) -> tuple[int, int]:
    """How many means have tokens in several processes' shares, and how many borders cut them."""
    borders = (outline.tokens * rank // outline.processes for rank in range(1, outline.processes))
    cut = [border for border in borders if border % outline.tokens_per_step]
    return len({border // outline.tokens_per_step for border in cut}), len(cut)


def _pool_plan(pool: Pool, outline: Outline, config: RunConfig) -> PoolPlan:
    rows = _rows(pool, outline, config.num_bins)
    itemsize = 8 if pool == "mean" else outline.itemsize
    plan = PoolPlan.of(rows, outline.dim, itemsize, _UNDRAWN, config.weighs, config.diagnostics)
    draws = config.draws
    counts = draws.counts or default_counts(len(rows))
    sizes = rows.sizes(rows.atoms.basic_groups() + rows.atoms.depth_groups())
    matched = matched_kinds(sizes) if draws.matched else ()
    samples = tuple(
        Sample(group, repeat, _NONE, fitting)
        for group, repeat, fitting in asked(
            rows.atoms, sizes, counts, counts_of(matched), draws.repeats
        )
    )
    lasting = np.union1d(plan.lasting, _drawn(rows, plan.atom_rows, samples))
    return replace(plan, counts=counts, matched=matched, samples=samples, lasting=lasting)


def _rows(pool: Pool, outline: Outline, num_bins: int) -> PooledRows:
    """One run an atom, of as many rows as the others, or one more."""
    atoms = Atoms(tuple(f"{c:05d}" for c in range(outline.categories)), num_bins)
    cells = outline.categories * len(SEGMENTS) * num_bins
    tokens = _even(outline.tokens, cells)
    rows = tokens if pool == "all" else np.minimum(_even(outline.steps, cells), tokens)
    category, segment, depth_bin = np.indices((outline.categories, len(SEGMENTS), num_bins))
    which = [one.ravel() for one in (category, segment, depth_bin)]
    stop, none = np.cumsum(tokens), np.zeros(cells, np.int64)
    steps = Steps(stop - tokens, stop, which[1], which[0], none, which[2], none + num_bins, ())
    steps = replace(steps, categories=atoms.categories)
    first = np.concatenate([[0], np.cumsum(rows)])
    return PooledRows(
        *(pool, first, np.arange(cells), atoms.code(*which)),
        *(atoms, StepTokens.of(steps, _NONE)),
    )


def _even(whole: int, cells: int) -> Ints:
    return whole * np.arange(1, cells + 1) // cells - whole * np.arange(cells) // cells


def _drawn(rows: PooledRows, atom_rows: Ints, samples: Iterable[Sample]) -> Ints:
    """Of each atom as many rows as draws are expected to have of it together, the first ones."""
    left, grid = np.ones(rows.atoms.count), rows.atoms.shape
    sizes: dict[Group, int] = {}
    for sample in samples:
        cells = rows.atoms.cells(sample.group)
        if sample.group not in sizes:
            sizes[sample.group] = int(atom_rows.reshape(grid)[cells].sum())
        left.reshape(grid)[cells] *= 1 - sample.counts[-1] / sizes[sample.group]
    taken = np.rint(atom_rows * (1 - left)).astype(np.int64)[rows.atom]
    return ranges(rows.first[:-1], taken)
