"""Which samples are computed together: right-padded batches of few shapes, longest first.

A batch of shape (B, T) costs B·T tokens of computing, padding included, and each shape that occurs
costs a compilation. With both counted in tokens, the bucket lengths T_1 < … < T_k, multiples of
`length_multiple`, are chosen to minimise

    Σ over batches B·T  +  shape_cost · (number of shapes)

where each sample goes to the smallest bucket that holds it, and a bucket's m samples are spread
evenly over the fewest batches the budget allows: c = ⌈m / max(1, ⌊max_tokens / T⌋)⌉ of them, of
B = ⌈m / c⌉ rows. The s = cB − m rows left over are padding where s·T ≤ shape_cost; otherwise the
last s batches have B − 1 rows, which is one more shape. So a bucket costs

    m·T + shape_cost + min(s·T, shape_cost).

An optimal T is the rounded length of some sample (a smaller one would still hold its bucket), which
leaves a shortest path over the u distinct rounded lengths: exact, and of u² steps. The growth of
attention with the square of the length is not counted; it favours the short buckets further.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Batching:
    """How batches are cut; all in tokens, positive.

    `max_tokens` is what a batch may have, padding included: a sample longer than that is a batch
    of its own. Lengths are rounded up to `length_multiple`. `shape_cost` is how many tokens are
    computed in the time that one more shape takes to compile.
    """

    max_tokens: int
    length_multiple: int = 64
    shape_cost: int = 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """The samples with these numbers, computed as one array of `shape` (B rows, T tokens).

    Row i is sample `samples[i]`, padded on the right; rows from len(samples) on are padding.
    """

    number: int
    samples: tuple[int, ...]
    shape: tuple[int, int]


def make_batches(lengths: Sequence[int], batching: Batching) -> tuple[Batch, ...]:
    """Batches, longest first, of all samples whose length is not 0; each is in exactly one.

    Args:
        lengths: The samples' tokens; samples of one length keep their order.
        batching: The budget and the costs.
    """
    order = sorted(
        (sample for sample, length in enumerate(lengths) if length),
        key=lambda sample: -lengths[sample],
    )
    buckets = bucket_lengths(np.array([lengths[sample] for sample in order], np.int64), batching)
    batches: list[Batch] = []
    for bucket, members in groupby(order, lambda sample: bisect_left(buckets, lengths[sample])):
        for samples, rows in _spread(tuple(members), buckets[bucket], batching):
            batches.append(Batch(len(batches), samples, (rows, buckets[bucket])))
    return tuple(batches)


def bucket_lengths(lengths: NDArray[np.int64], batching: Batching) -> tuple[int, ...]:
    """The optimal bucket lengths, rising, for samples of these positive lengths [n]."""
    multiple = batching.length_multiple
    rounded = -(-lengths // multiple) * multiple
    sizes, counts = np.unique(rounded, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])
    # best[j] is the least cost of the j shortest sizes, whose longest bucket begins at first[j].
    best = np.zeros(len(sizes) + 1, np.int64)
    first = np.zeros(len(sizes) + 1, np.int64)
    for end, size in enumerate(sizes.tolist(), start=1):
        costs = best[:end] + _bucket_costs(before[end] - before[:end], size, batching)
        first[end] = np.argmin(costs)
        best[end] = costs[first[end]]
    chosen: list[int] = []
    end = len(sizes)
    while end:
        chosen.append(int(sizes[end - 1]))
        end = int(first[end])
    return tuple(reversed(chosen))


def _bucket_costs(members: NDArray[np.int64], length: int, batching: Batching) -> NDArray[np.int64]:
    """The cost of a bucket of this length for each number of members."""
    count = -(-members // max(1, batching.max_tokens // length))
    spare = -(-members // count) * count - members
    padding = np.minimum(spare * length, batching.shape_cost)
    costs: NDArray[np.int64] = members * length + batching.shape_cost + padding
    return costs


def _spread(
    members: tuple[int, ...], length: int, batching: Batching
) -> Iterator[tuple[tuple[int, ...], int]]:
    """A bucket's batches: their samples, and their rows, padding included."""
    count = -(-len(members) // max(1, batching.max_tokens // length))
    rows = -(-len(members) // count)
    spare = rows * count - len(members)
    padded = spare * length <= batching.shape_cost
    start = 0
    for number in range(count):
        taken = rows - (number >= count - spare)
        yield members[start : start + taken], rows if padded else taken
        start += taken
