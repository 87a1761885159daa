"""The plan of one pool: which rows stay rows, which become moments, and the memory it takes.

A set of n <= d rows is smaller, and solved faster, as rows than as a d x d matrix; a larger one
is smaller as moments. Atoms (and then groups) take the form that suits their size, which the
index alone decides. Categories are processed in as few sweeps over the shards as the memory limit
allows, normally one; a row is read once however many sweeps there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectra.backend import usable_cores
from spectra.grouping import Group, Ints
from spectra.pooling import PooledRows
from spectra.sampling import default_counts, nested_sample

MOMENT_BYTES = 8
BUFFER_ROWS = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """One subsample of a sweep: row numbers in the pool, every prefix of which is nested."""

    group: Group
    repeat: int
    rows: Ints
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What happens to each row of one pool.

    Attributes:
        rows: the pool's rows.
        dim: their width d.
        row_bytes: bytes of a stored row.
        atom_rows: [atoms] rows of each atom.
        counts: the sweep's grid.
        samples: the sweep's subsamples.
        lasting: [N] rows needed after their own category is done (subsamples, and groups across
            categories that have at most d rows).
    """

    rows: PooledRows
    dim: int
    row_bytes: int
    atom_rows: Ints
    counts: tuple[int, ...]
    samples: tuple[Sample, ...]
    lasting: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        rows: PooledRows,
        dim: int,
        itemsize: int,
        counts: tuple[int, ...],
        repeats: int,
        seed: int,
    ) -> PoolPlan:
        """Plan a pool of `rows` [N, dim] whose values take `itemsize` bytes as stored."""
        atom_rows = np.bincount(rows.atom, minlength=rows.atoms.count).astype(np.int64)
        counts = counts or default_counts(len(rows))
        samples = tuple(_samples(rows, atom_rows, counts, repeats, seed))
        lasting = np.zeros(len(rows), dtype=bool)
        for sample in samples:
            lasting[sample.rows] = True
        for group in rows.atoms.basic_groups() + rows.atoms.depth_groups():
            mask = rows.atoms.mask(group)
            if group.category is None and atom_rows[mask].sum() <= dim:
                lasting |= mask[rows.atom]
        return cls(rows, dim, dim * itemsize, atom_rows, counts, samples, lasting)

    @property
    def large(self) -> NDArray[np.bool_]:
        """[atoms] whether an atom is kept as moments."""
        return self.atom_rows > self.dim

    def stored(self, categories: range) -> NDArray[np.bool_]:
        """[N] whether a row of these categories is stored as a row while they are processed."""
        return ~self.large[self.rows.atom] & self.among(categories) & ~self.lasting

    def among(self, categories: range) -> NDArray[np.bool_]:
        """[N] whether a row belongs to one of these categories."""
        per_category = self.rows.atoms.count // max(len(self.rows.atoms.categories), 1)
        category = self.rows.atom // max(per_category, 1)
        return (category >= categories.start) & (category < categories.stop)

    @property
    def fixed_bytes(self) -> int:
        """Memory that stays for the whole pool: lasting rows and moments across categories."""
        segments_and_bins = (self.rows.atoms.shape[1] + 1) * (self.rows.atoms.num_bins + 1)
        # Those across categories, and those that are queued for reduction or being reduced.
        across = segments_and_bins + 2 * usable_cores() if len(self.rows) > self.dim else 0
        return int(self.lasting.sum()) * self.row_bytes + across * MOMENT_BYTES * self.dim**2

    def category_bytes(self) -> Ints:
        """[categories] memory that each category takes while it is processed."""
        shape = self.rows.atoms.shape
        small = (
            np.bincount(self.rows.atom[~self.lasting], minlength=self.rows.atoms.count)
            * ~self.large
        )
        moments = self.large * (MOMENT_BYTES * self.dim**2 + BUFFER_ROWS * self.row_bytes)
        return np.asarray((small * self.row_bytes + moments).reshape(shape).sum(axis=(1, 2)))


def sweeps(plans: list[PoolPlan], limit: int) -> list[range]:
    """Runs of consecutive categories, one or more, whose memory fits the limit together."""
    per_category = np.sum([plan.category_bytes() for plan in plans], axis=0)
    room = limit - sum(plan.fixed_bytes for plan in plans)
    ranges, start, taken = [], 0, 0
    for category, needed in enumerate(per_category):
        if category > start and taken + needed > room:
            ranges.append(range(start, category))
            start, taken = category, 0
        taken += int(needed)
    return [*ranges, range(start, len(per_category))]


def planned_bytes(plans: list[PoolPlan], ranges: list[range]) -> int:
    """The largest memory that stores and moments take at any time."""
    per_category = np.sum([plan.category_bytes() for plan in plans], axis=0)
    most = max(int(per_category[r.start : r.stop].sum()) for r in ranges)
    return most + sum(plan.fixed_bytes for plan in plans)


def _samples(
    rows: PooledRows, atom_rows: Ints, counts: tuple[int, ...], repeats: int, seed: int
) -> Iterator[Sample]:
    for group in rows.atoms.sweep_groups():
        mask = rows.atoms.mask(group)
        size = int(atom_rows[mask].sum())
        fitting = tuple(count for count in counts if count <= size)
        if not fitting:
            continue
        members = np.flatnonzero(mask[rows.atom])
        for repeat in range(repeats):
            chosen = nested_sample(group, size, fitting[-1], rows.pool, repeat, seed)
            yield Sample(group, repeat, members[chosen], fitting)
