"""The plan of one pool: which rows stay rows, which become moments, and the memory it takes.

A set of n <= d rows is smaller, and solved faster, as rows than as a d x d matrix; a larger one
is smaller as moments. Atoms (and then groups) take the form that suits their size, which the
index alone decides. Normally one pass over the shards serves all pools and categories; where the
limit of the host's or the device's memory asks for it, pools take turns (rounds), and runs of
categories within them (sweeps). A pool's row is read once however many sweeps there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spectra.backend import usable_cores
from spectra.engine.matched import Matched, counts_of, matched_kinds
from spectra.engine.memory import Bytes, Limit
from spectra.grouping import SEGMENTS, Atoms, Group, Ints
from spectra.pooling import PooledRows
from spectra.sampling import Draws, default_counts, nested_sample, nested_units

MOMENT_BYTES = 8
BUFFER_ROWS = 1024
"""Rows of an atom that are multiplied at a time."""

SENT = 4
"""Blocks of so many rows that wait to be multiplied, at most, beside those that fill up."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One subsample: row numbers in the pool, every prefix of which is nested."""

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
        matched: the counts at which groups of a kind are compared.
        samples: the subsamples of both.
        lasting: sorted numbers of the rows needed after their own category is done (subsamples,
            and groups across categories that have at most d rows).
        weighs: whether the axes of large groups are kept until their rows have been weighed.
        diagnoses: whether each atom's sums by dimension are kept.
    """

    rows: PooledRows
    dim: int
    row_bytes: int
    atom_rows: Ints
    counts: tuple[int, ...]
    matched: tuple[Matched, ...]
    samples: tuple[Sample, ...]
    lasting: Ints
    weighs: bool = False
    diagnoses: bool = False

    @classmethod
    def of(
        cls,
        rows: PooledRows,
        dim: int,
        itemsize: int,
        draws: Draws,
        weighs: bool = False,
        diagnoses: bool = False,
    ) -> PoolPlan:
        """Plan a pool of `rows` [N, dim] whose values take `itemsize` bytes as stored."""
        atom_rows = rows.per_atom(rows.length)
        counts = draws.counts or default_counts(len(rows))
        sizes = rows.sizes(rows.atoms.basic_groups() + rows.atoms.depth_groups())
        matched = matched_kinds(sizes) if draws.matched else ()
        samples = tuple(_samples(rows, sizes, counts, counts_of(matched), draws))
        lasting = [sample.rows for sample in samples]
        for mask in rows.atoms.across_categories():
            if atom_rows[mask].sum() <= dim:
                lasting.append(rows.numbers(np.flatnonzero(mask[rows.atom])))
        needed = np.unique(np.concatenate([np.empty(0, np.int64), *lasting]))
        return cls(
            *(rows, dim, dim * itemsize, atom_rows, counts, matched, samples, needed),
            *(weighs, diagnoses),
        )

    @classmethod
    def of_samples(
        cls,
        rows: PooledRows,
        dim: int,
        itemsize: int,
        samples: Iterable[Sample],
        *,
        weighs: bool,
    ) -> PoolPlan:
        """Plan nothing but subsamples of a pool."""
        drawn = tuple(samples)
        none = np.empty(0, np.int64)
        needed = np.unique(np.concatenate([none, *(sample.rows for sample in drawn)]))
        sizes = rows.per_atom(rows.length)
        return cls(rows, dim, dim * itemsize, sizes, (), (), drawn, needed, weighs)

    def twins(self) -> dict[Group, Group]:
        """Each group with the same rows as an earlier one in file order, and that one."""
        first: dict[bytes, Group] = {}
        found: dict[Group, Group] = {}
        filled, atoms = self.atom_rows > 0, self.rows.atoms
        for group in atoms.basic_groups() + atoms.depth_groups():
            cells = atoms.mask(group) & filled
            earlier = first.setdefault(np.packbits(cells).tobytes(), group)
            if cells.any() and earlier != group:
                found[group] = earlier
        return found

    @property
    def large(self) -> NDArray[np.bool_]:
        """[atoms] whether an atom is kept as moments."""
        return self.atom_rows > self.dim

    def stored(self, categories: range) -> Ints:
        """Sorted numbers of what is stored as rows while these categories are processed."""
        small = ~self.large & self.among(categories)
        numbers = self.rows.numbers(np.flatnonzero(small[self.rows.atom]))
        return numbers[~self.lasts(numbers)]

    def lasts(self, numbers: Ints) -> NDArray[np.bool_]:
        """Whether each row is among `lasting`."""
        found = np.searchsorted(self.lasting, numbers)
        here = found < len(self.lasting)
        here[here] = self.lasting[found[here]] == numbers[here]
        return here

    def among(self, categories: range) -> NDArray[np.bool_]:
        """[atoms] whether an atom belongs to one of these categories."""
        grid = np.zeros(self.rows.atoms.shape, bool)
        grid[categories.start : categories.stop] = True
        return grid.ravel()

    def fixed(self, limit: Limit) -> Bytes:
        """Memory besides the categories' own: lasting rows, and the moments of groups.

        Groups across categories stay for the whole pool; those of a category are added up one
        category after the other.
        """
        across = self._sizes.sum(axis=0)
        large = int((across > self.dim).sum() + (across.sum(axis=1) > self.dim).sum())
        if len(self.rows) > self.dim:
            # One union at a time, and what is queued for reduction or being reduced.
            large += 1 + 2 * usable_cores()
        within = (self._sizes.sum(axis=1) > self.dim).sum(axis=1)
        within += 2 * (self._sizes.sum(axis=(1, 2)) > self.dim)
        large += int(within.max(initial=0))
        if self.weighs:
            of_segments = across[: len(SEGMENTS)]
            for sizes in (across.sum(), across.sum(axis=0), of_segments.sum(axis=1), of_segments):
                large += int(np.sum(sizes > self.dim))
        sums = 2 * MOMENT_BYTES * self.dim * int((self.atom_rows > 0).sum()) * self.diagnoses
        return limit.place(len(self.lasting) * self.row_bytes + sums, large * self._moment_bytes)

    def by_category(self, limit: Limit) -> list[Bytes]:
        """Memory that each category's rows and atoms take during its sweep."""
        lasting = np.bincount(self.rows.atom_of(self.lasting), minlength=self.rows.atoms.count)
        small = (
            ((self.atom_rows - lasting) * ~self.large).reshape(self._sizes.shape).sum(axis=(1, 2))
        )
        atoms = self.large.reshape(self._sizes.shape).sum(axis=(1, 2))
        rows = (small + (atoms + SENT * (atoms > 0)) * BUFFER_ROWS) * self.row_bytes
        matrices = atoms
        if self.weighs:
            by_segment, by_bin = self._sizes.sum(axis=2), self._sizes.sum(axis=1)
            matrices = matrices + (by_segment.sum(axis=1) > self.dim)
            matrices += (by_segment[:, : len(SEGMENTS)] > self.dim).sum(axis=1)
            matrices += (by_bin > self.dim).sum(axis=1)
        return list(map(limit.place, rows.tolist(), (matrices * self._moment_bytes).tolist()))

    def waiting(self, categories: range, limit: Limit) -> tuple[Bytes, Bytes]:
        """Memory held when rows were collected, and when groups wait to be weighed."""
        here = slice(categories.start, categories.stop)
        plain = replace(self, weighs=False)
        rows_and_atoms = sum(plain.by_category(limit)[here], Bytes())
        axes = sum(self.by_category(limit)[here], Bytes()) - rows_and_atoms
        axes += self.fixed(limit) - plain.fixed(limit)
        sums = 2 * MOMENT_BYTES * self.dim * int((self.atom_rows > 0).sum()) * self.diagnoses
        collected = rows_and_atoms + limit.place(len(self.lasting) * self.row_bytes + sums, 0)
        return collected, collected - self.moments(categories, limit) + axes

    def moments(self, categories: range, limit: Limit) -> Bytes:
        """Of it, the atoms' moments, which are gone when groups were solved."""
        atoms = int((self.large & self.among(categories)).sum())
        return limit.place(0, atoms * self._moment_bytes)

    @property
    def _sizes(self) -> Ints:
        return self.atom_rows.reshape(self.rows.atoms.shape)

    @property
    def _moment_bytes(self) -> int:
        return MOMENT_BYTES * self.dim**2


@dataclass(frozen=True, slots=True)
class Round:
    """Some pools (by number), processed together in sweeps over runs of categories."""

    pools: tuple[int, ...]
    sweeps: tuple[range, ...]
    planned: Bytes


def rounds(plans: Sequence[PoolPlan], limit: Limit) -> tuple[Round, ...]:
    """All pools in one round if that fits the limit, else each in its own."""
    together = _round(range(len(plans)), plans, limit)
    if limit.holds(together.planned):
        return (together,)
    return tuple(_round(range(pool, pool + 1), plans, limit) for pool in range(len(plans)))


def _round(pools: range, plans: Sequence[PoolPlan], limit: Limit) -> Round:
    """Sweeps over as many consecutive categories as fit the limit, at least one each."""
    chosen = [plans[pool] for pool in pools]
    fixed = sum((plan.fixed(limit) for plan in chosen), Bytes())
    needs = [
        sum(needs, Bytes())
        for needs in zip(*(plan.by_category(limit) for plan in chosen), strict=True)
    ]
    sweeps, start, taken, most = [], 0, fixed, fixed
    for category, needed in enumerate(needs):
        if category > start and not limit.holds(taken + needed):
            sweeps.append(range(start, category))
            start, taken = category, fixed
        taken += needed
        most = most.larger(taken)
    sweeps.append(range(start, len(needs)))
    return Round(tuple(pools), tuple(sweeps), most)


def _samples(
    rows: PooledRows,
    sizes: Mapping[Group, int],
    counts: tuple[int, ...],
    matched: Mapping[Group, int],
    draws: Draws,
) -> Iterator[Sample]:
    """The subsamples that are `asked`, drawn."""
    for group, repeat, fitting in asked(rows.atoms, sizes, counts, matched, draws.repeats):
        mask, size = rows.atoms.mask(group), sizes[group]
        chosen = _drawn(rows, group, mask, size, fitting[-1], repeat, draws)
        yield Sample(group, repeat, chosen, fitting)


def asked(
    atoms: Atoms,
    sizes: Mapping[Group, int],
    counts: tuple[int, ...],
    matched: Mapping[Group, int],
    repeats: int,
) -> Iterator[tuple[Group, int, tuple[int, ...]]]:
    """Of every group in the sweep or compared, a sample a repeat: its number and its counts.

    A count that is compared and takes in the whole group is drawn once: every draw has its rows.
    """
    swept = set(atoms.sweep_groups())
    for group, size in sizes.items():
        drawn = {count for count in counts if count <= size} if group in swept else set()
        compared = matched.get(group)
        once = {size} if compared == size and size not in drawn else set()
        if compared is not None and not once:
            drawn.add(compared)
        for repeat in range(repeats):
            fitting = tuple(sorted(drawn if repeat else drawn | once))
            if fitting:
                yield group, repeat, fitting


def draw(
    rows: PooledRows, sizes: Mapping[Group, int], counts: Mapping[Group, int], draws: Draws
) -> Iterator[Sample]:
    """Of each group so many of its rows, `draws.repeats` times, or once where those are all."""
    for group, count in counts.items():
        mask = rows.atoms.mask(group)
        for repeat in range(1 if count == sizes[group] else draws.repeats):
            chosen = _drawn(rows, group, mask, sizes[group], count, repeat, draws)
            yield Sample(group, repeat, chosen, (count,))


def _drawn(
    rows: PooledRows,
    group: Group,
    mask: NDArray[np.bool_],
    size: int,
    count: int,
    repeat: int,
    draws: Draws,
) -> Ints:
    """Row numbers of the sample that has `count` of the group's `size` rows, atoms by `mask`."""
    if draws.sampling == "row":
        chosen = nested_sample(group, size, count, rows.pool, repeat, draws.seed)
    else:
        runs = np.flatnonzero(mask[rows.atom])
        step = rows.step[runs]
        units = step if draws.sampling == "step" else rows.pairs.steps.trace[step]
        lengths = rows.length[runs]
        chosen = nested_units(
            group, units, lengths, count, rows.pool, repeat, draws.seed, draws.sampling
        )
    return rows.members(mask, chosen)
