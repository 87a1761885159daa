"""Buckets: every sample once, budgets held, and the cost equal to a search of all choices."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.store import Batch, Batching
from extract.store.buckets import bucket_lengths, make_batches

LENGTHS = st.lists(st.integers(0, 60), max_size=25)
BATCHINGS = st.builds(
    Batching,
    max_tokens=st.integers(1, 200),
    length_multiple=st.integers(1, 16),
    shape_cost=st.integers(0, 300),
)


def cost(batches: tuple[Batch, ...], batching: Batching) -> int:
    """Padded tokens and shapes, counted from the batches themselves."""
    shapes = [batch.shape for batch in batches]
    return sum(b * t for b, t in shapes) + batching.shape_cost * len(set(shapes))


def cheapest_bucket(count: int, length: int, batching: Batching) -> int:
    """The least cost of `count` samples in the fewest batches, over all ways to size these.

    A way is a multiset of at most two shapes [B or less, length] with room for every sample.
    """
    most = max(1, batching.max_tokens // length)
    batches = -(-count // most)
    found = []
    for large in range(1, most + 1):
        for small in range(1, large + 1):
            for split in range(batches + 1):
                rows = split * small + (batches - split) * large
                if rows >= count:
                    shapes = len({small} if split else set()) + (split < batches)
                    shapes -= small == large and 0 < split < batches
                    found.append(rows * length + batching.shape_cost * shapes)
    return min(found)


def cheapest(lengths: list[int], batching: Batching) -> int:
    """The least cost over every choice of bucket lengths."""
    multiple = batching.length_multiple
    sizes = [-(-length // multiple) * multiple for length in lengths if length]
    if not sizes:
        return 0
    distinct = sorted(set(sizes))
    results = []
    for count in range(len(distinct)):
        for lower in combinations(distinct[:-1], count):
            borders = (*lower, distinct[-1])
            below = [sum(size <= border for size in sizes) for border in (0, *borders)]
            results.append(
                sum(
                    cheapest_bucket(below[i + 1] - below[i], border, batching)
                    for i, border in enumerate(borders)
                )
            )
    return min(results)


@given(lengths=LENGTHS, batching=BATCHINGS)
def test_each_sample_is_in_one_batch_that_holds_it(lengths: list[int], batching: Batching) -> None:
    batches = make_batches(lengths, batching)
    members = [sample for batch in batches for sample in batch.samples]
    assert sorted(members) == [n for n, length in enumerate(lengths) if length]
    assert [batch.number for batch in batches] == list(range(len(batches)))
    for batch in batches:
        rows, length = batch.shape
        assert 1 <= len(batch.samples) <= rows
        assert length % batching.length_multiple == 0
        assert all(lengths[sample] <= length for sample in batch.samples)
        assert rows * length <= batching.max_tokens or rows == 1


@given(lengths=LENGTHS, batching=BATCHINGS)
def test_longest_first(lengths: list[int], batching: Batching) -> None:
    order = [n for batch in make_batches(lengths, batching) for n in batch.samples]
    assert order == sorted(order, key=lambda n: (-lengths[n], n))


FEW = st.lists(st.integers(0, 60), max_size=9)
MANY_ALIKE = st.lists(st.integers(0, 6), max_size=20)
CLOSE = st.builds(Batching, st.integers(1, 30), st.just(1), st.integers(0, 12))


@given(lengths=FEW, batching=BATCHINGS)
@settings(max_examples=200)
def test_the_cost_is_the_least_of_all_choices(lengths: list[int], batching: Batching) -> None:
    batches = make_batches(lengths, batching)
    assert cost(batches, batching) == cheapest(lengths, batching)


@given(lengths=MANY_ALIKE, batching=CLOSE)
@settings(max_examples=400)
def test_the_cost_is_the_least_where_rows_are_to_spare(
    lengths: list[int], batching: Batching
) -> None:
    batches = make_batches(lengths, batching)
    assert cost(batches, batching) == cheapest(lengths, batching)


@given(lengths=LENGTHS, batching=BATCHINGS)
def test_waste_is_bounded(lengths: list[int], batching: Batching) -> None:
    """Exact lengths, each distinct one paying for two shapes at most, are always a choice."""
    multiple = batching.length_multiple
    rounded = [-(-length // multiple) * multiple for length in lengths]
    distinct = len(set(rounded) - {0})
    total = cost(make_batches(lengths, batching), batching)
    assert total <= sum(rounded) + 2 * batching.shape_cost * distinct


@given(lengths=LENGTHS, max_tokens=st.integers(1, 200), multiple=st.integers(1, 16))
def test_free_shapes_leave_no_padding_but_the_rounding(
    lengths: list[int], max_tokens: int, multiple: int
) -> None:
    for batch in make_batches(lengths, Batching(max_tokens, multiple, shape_cost=0)):
        rows, padded = batch.shape
        assert len(batch.samples) == rows
        assert all(padded - lengths[sample] < multiple for sample in batch.samples)


def test_dear_shapes_leave_one() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 500).tolist()
    batches = make_batches(lengths, Batching(8192, 64, shape_cost=10**9))
    assert len({batch.shape for batch in batches}) == 1


@pytest.mark.parametrize(
    ("shape_cost", "shapes"), [(8, [(3, 8), (3, 8), (3, 8)]), (7, [(3, 8), (3, 8), (2, 8)])]
)
def test_a_padding_row_or_one_more_shape(shape_cost: int, shapes: list[tuple[int, int]]) -> None:
    """Eight samples of 8 tokens, at most 3 a batch: a spare row costs 8 tokens."""
    batches = make_batches([8] * 8, Batching(24, 8, shape_cost))
    assert [batch.shape for batch in batches] == shapes
    assert [len(batch.samples) for batch in batches] == [3, 3, 2]


def test_a_sample_beyond_the_budget_is_alone() -> None:
    batches = make_batches([5, 300, 5], Batching(100, 10, shape_cost=1))
    assert [(batch.samples, batch.shape) for batch in batches] == [
        ((1,), (1, 300)),
        ((0, 2), (2, 10)),
    ]


def test_no_samples() -> None:
    assert make_batches([], Batching(100)) == ()
    assert make_batches([0, 0], Batching(100)) == ()


def test_bucket_lengths_rise() -> None:
    lengths = np.array([10, 11, 500, 30, 31, 29])
    assert bucket_lengths(lengths, Batching(1000, 1, shape_cost=15)) == (11, 31, 500)
