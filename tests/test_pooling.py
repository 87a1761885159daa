"""What follows from a row's number is what listing every row one by one would say."""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra.grouping import DepthMode, Group, Steps
from spectra.pooling import POOLS, Pool, StepTokens, pooled_rows
from spectra.sampling import Sampling, nested_sample, nested_units

LABELS = ("a", "b")
SEGMENTS = (0, 1, 2)


class Listed(NamedTuple):
    """A row, listed: its step, its tokens, its atom's labels."""

    step: int
    tokens: tuple[int, ...]
    labels: tuple[int, int, int]


def listed(
    pool: Pool, steps: Steps, dropped: set[int], bins: int, depth: DepthMode
) -> list[Listed]:
    """Every row of a pool by its plain definition."""
    kept = [
        [token for token in range(start, stop) if token not in dropped]
        for start, stop in zip(steps.start.tolist(), steps.stop.tolist(), strict=True)
    ]
    rows = []
    for trace in range(int(steps.trace.max(initial=-1)) + 1):
        own = np.flatnonzero(steps.trace == trace).tolist()
        total, before = sum(len(kept[step]) for step in own), 0
        for step in own:
            tokens = kept[step]
            behind = {"mean": tokens, "first": tokens[:1], "last": tokens[-1:]}
            if pool == "all":
                spans = [(k, k + 1, [token]) for k, token in enumerate(tokens)]
            else:
                spans = [(0, len(tokens), behind[pool])] if tokens else []
            for begin, end, own_tokens in spans:
                by_token = (2 * before + begin + end) * bins // (2 * total)
                by_step = (2 * own.index(step) + 1) * bins // (2 * len(own))
                depth_bin = by_step if depth == "step" else by_token
                labels = (int(steps.category[step]), int(steps.segment[step]), depth_bin)
                rows.append(Listed(step, tuple(own_tokens), labels))
            before += len(tokens)
    return rows


@st.composite
def some_steps(draw: st.DrawFn) -> Steps:
    """Steps of a few traces: empty ones, gaps, overlaps, traces out of file order."""
    columns: list[tuple[int, ...]] = []
    offsets = draw(st.permutations([40 * trace for trace in range(3)]))
    for trace, offset in enumerate(offsets):
        count = draw(st.integers(0, 5))
        for i in range(count):
            start = offset + draw(st.integers(0, 30))
            stop = start + draw(st.integers(0, 9))
            labels = draw(st.sampled_from(SEGMENTS)), draw(st.integers(0, 1))
            columns.append((start, stop, *labels, trace, i, count))
    table = np.array(columns, np.int64).reshape(-1, 7)
    start, stop, segment, category, trace, position, siblings = np.ascontiguousarray(table.T)
    return Steps(start, stop, segment, category, trace, position, siblings, LABELS)


@given(
    some_steps(),
    st.sets(st.integers(0, 120), max_size=20),
    st.integers(1, 7),
    st.sampled_from(["step", "token"]),
    st.sampled_from(POOLS),
)
def test_rows_follow_from_their_numbers(
    steps: Steps, dropped: set[int], bins: int, depth: DepthMode, pool: Pool
) -> None:
    pairs = StepTokens.of(steps, np.array(sorted(dropped), np.int64))
    rows, expected = (
        pooled_rows(pool, pairs, bins, depth),
        listed(pool, steps, dropped, bins, depth),
    )
    assert len(rows) == len(expected)
    numbers = np.arange(len(rows))
    codes = [(c * 3 + s) * bins + b for c, s, b in (row.labels for row in expected)]
    assert rows.atom_of(numbers).tolist() == codes
    assert (
        rows.per_atom(rows.length).tolist()
        == np.bincount(np.array(codes, np.int64), minlength=rows.atoms.count).tolist()
    )
    assert rows.step.repeat(rows.length).tolist() == [row.step for row in expected]
    for low, high, first, after in zip(*rows.tokens(), rows.first, rows.first[1:], strict=False):
        behind = [token for row in expected[first:after] for token in row.tokens]
        assert [t for t in range(low, high) if t not in dropped] == behind
    for group in (Group("global"), Group("category", None, "b"), Group("bin", None, None, 0)):
        mask = rows.atoms.mask(group)
        inside = np.flatnonzero(mask[np.array(codes, np.int64)])
        assert rows.numbers(np.flatnonzero(mask[rows.atom])).tolist() == inside.tolist()
        places = np.arange(len(inside))[::-1]
        assert rows.members(mask, places).tolist() == inside[places].tolist()


@given(some_steps(), st.sets(st.integers(0, 120), max_size=20))
def test_steps_know_their_tokens(steps: Steps, dropped: set[int]) -> None:
    pairs = StepTokens.of(steps, np.array(sorted(dropped), np.int64))
    behind = {token for row in listed("all", steps, dropped, 1, "step") for token in row.tokens}
    held = pairs.hold(np.arange(130))
    assert set(np.flatnonzero(held).tolist()) == behind


def test_a_subsample_does_not_depend_on_how_many_keys_are_drawn_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Group("global")
    whole = nested_sample(group, 1000, 64, "all", 0, 0)
    assert len(set(whole.tolist())) == 64
    monkeypatch.setattr("spectra.sampling.CHUNK", 7)
    assert nested_sample(group, 1000, 64, "all", 0, 0).tolist() == whole.tolist()
    assert nested_sample(group, 1000, 1000, "all", 0, 0)[:64].tolist() == whole.tolist()


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    units=st.integers(1, 6),
    sampling=st.sampled_from(["step", "trace"]),
    repeat=st.integers(0, 3),
)
def test_whole_units_are_drawn_until_there_are_enough_rows(
    lengths: list[int], units: int, sampling: Sampling, repeat: int
) -> None:
    of_run = np.array([7 * (run % units) for run in range(len(lengths))])
    of_row, size = np.repeat(of_run, lengths), sum(lengths)

    def drawn(count: int) -> list[int]:
        group = Group("segment_bin", "thought", None, 3)
        key = "all", repeat, 0, sampling
        return list(nested_units(group, of_run, np.array(lengths), count, *key))

    everything = drawn(size)
    assert sorted(everything) == list(range(size))
    for count in range(1, size):
        assert drawn(count) == everything[:count]
    # All of a unit's rows come together, in the order of the rows.
    order = list(dict.fromkeys(of_row[everything].tolist()))
    expected = [row for unit in order for row in range(size) if of_row[row] == unit]
    assert everything == expected


def test_each_group_unit_and_repeat_has_a_draw_of_its_own() -> None:
    units, lengths = np.arange(40), np.ones(40, np.int64)
    groups = (Group("bin", None, None, 0), Group("bin", None, None, 1))
    draws = {
        tuple(nested_units(group, units, lengths, 40, "all", repeat, 0, sampling).tolist())
        for group in groups
        for repeat in (0, 1)
        for sampling in get_args(Sampling)[1:]
    }
    draws |= {tuple(nested_sample(group, 40, 40, "all", 0, 0).tolist()) for group in groups}
    assert len(draws) == 10
