"""Labels permuted within traces: what groups of steps drawn blindly would show.

Each trace keeps its steps, their tokens and its own set of labels; which step has which label is
drawn anew, segment and category together. A group is then compared with itself under other
labelings, all of them drawn from at one count, so that neither traces nor sizes tell them apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectra.engine import Sample, draw
from spectra.grouping import Group, Ints, Steps
from spectra.pooling import PooledRows, StepTokens, pooled_rows
from spectra.sampling import LARGEST_COUNT, SMALLEST_COUNT, Draws

ROUNDING = 1e-9
"""Relative difference of metrics up to which they are taken to be equal."""

KINDS = ("segment", "category")


@dataclass(frozen=True, slots=True)
class Labelings:
    """The observed labels and permuted ones.

    Attributes:
        rows: the pool's rows under each labeling, the observed one first; numbers and tokens are
            the same in all of them.
        counts: of each group that is large enough under every labeling, the rows of a draw: as
            many as the smallest of its kind has under any of them.
    """

    rows: tuple[PooledRows, ...]
    counts: Mapping[Group, int]

    @classmethod
    def of(cls, rows: PooledRows, permutations: int, seed: int) -> Labelings:
        """The pool's own labels, and so many permutations of them."""
        steps = rows.pairs.steps
        filled = np.flatnonzero(rows.pairs.count)
        found = [rows]
        for number in range(permutations):
            made = _permuted(steps, filled, _bits(rows.pool, seed, number))
            found.append(pooled_rows(rows.pool, StepTokens.of(made, rows.pairs.dropped), 1, "step"))
        return cls(tuple(found), _counts([sizes_of(one) for one in found]))

    def draws(self, repeats: int, seed: int) -> Iterator[Sample]:
        """`repeats` draws of each group under each labeling, numbered through."""
        for number, rows in enumerate(self.rows):
            sizes = sizes_of(rows)
            for repeat in range(repeats):
                whole = number * repeats + repeat
                # A seed of its own: draws of one labeling say nothing of those of another.
                one = Draws((), 1, seed + whole)
                for sample in draw(rows, sizes, self.counts, one):
                    yield replace(sample, repeat=whole)


def sizes_of(rows: PooledRows) -> dict[Group, int]:
    """Rows of each segment and category."""
    return rows.sizes(group for group in rows.atoms.basic_groups() if group.kind in KINDS)


def p_value(observed: float, permuted: Sequence[float]) -> float:
    """Two-sided: the share of all labelings that are as far from their mean as the observed one.

    The observed labeling is one of them, and the mean is over all, so that under exchangeable
    labels p is uniform over 1/N, ..., 1 (Phipson and Smyth 2010).
    """
    values = np.array([observed, *permuted])
    apart = np.abs(values - values.mean())
    # The same rows in another order differ by rounding, which must not rank them.
    return float(np.mean(apart >= apart[0] - ROUNDING * np.abs(values).max()))


def _counts(sizes: Sequence[Mapping[Group, int]]) -> dict[Group, int]:
    least = {group: min(own[group] for own in sizes) for group in sizes[0]}
    counts: dict[Group, int] = {}
    for kind in KINDS:
        enough = {
            group: size
            for group, size in least.items()
            if group.kind == kind and size >= SMALLEST_COUNT
        }
        if len(enough) > 1:
            counts |= dict.fromkeys(enough, min(LARGEST_COUNT, *enough.values()))
    return counts


def _permuted(steps: Steps, filled: Ints, bits: np.random.PCG64) -> Steps:
    """With the labels of each trace's `filled` steps in another order."""
    keys = np.asarray(bits.random_raw(len(filled)))
    target = filled[np.argsort(steps.trace[filled], kind="stable")]
    source = filled[np.lexsort((keys, steps.trace[filled]))]
    segment, category = steps.segment.copy(), steps.category.copy()
    segment[target], category[target] = steps.segment[source], steps.category[source]
    return replace(steps, segment=segment, category=category)


def _bits(pool: str, seed: int, number: int) -> np.random.PCG64:
    key = f"{seed}\0permuted_labels\0{pool}\0{number}"
    return np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest(), "big"))
