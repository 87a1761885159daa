"""The reference's rows, labels, groups and counts, by hand on two small traces."""

from __future__ import annotations

import numpy as np

from spectra import reference

from .reference_cases import CaseSample, CaseStep

# Two traces: the second has an overlap (token 9 twice), an empty step and one outside segments.
TRACES = (
    CaseSample(0, 6, (CaseStep(1, 3, "thought", "b"), CaseStep(4, 5, "solution", "a"))),
    CaseSample(
        6,
        8,
        (
            CaseStep(7, 10, "thought", "a"),
            CaseStep(9, 11, "thought", None),
            CaseStep(11, 11, "solution", "c"),
            CaseStep(12, 14, None, "b"),
        ),
    ),
)
STATES = np.random.default_rng(8).standard_normal((14, 5))


def test_pool_all_has_one_row_a_token_and_step() -> None:
    rows = reference.pooled_rows(STATES, TRACES, "all")
    tokens = [1, 2, 4, 7, 8, 9, 9, 10, 12, 13]
    np.testing.assert_array_equal(rows.x, STATES[tokens])
    assert [label.step for label in rows.labels] == [0, 0, 1, 2, 2, 2, 3, 3, 5, 5]
    assert rows.categories == ["a", "b", "c", "unlabelled"]
    # Depths (i + ½)/S of steps: ¼ ¾ of two, ⅛ ⅜ – ⅞ of four.
    assert [label.bin for label in rows.labels] == [2, 2, 7, 1, 1, 1, 3, 3, 8, 8]


def test_step_pools_have_one_row_a_step_that_has_tokens() -> None:
    spans = [(1, 3), (4, 5), (7, 10), (9, 11), (12, 14)]
    expected = {
        "mean": [STATES[a:b].mean(axis=0) for a, b in spans],
        "first": [STATES[a] for a, _ in spans],
        "last": [STATES[b - 1] for _, b in spans],
    }
    for pool in reference.POOLS[1:]:
        rows = reference.pooled_rows(STATES, TRACES, pool)
        np.testing.assert_array_equal(rows.x, expected[pool])
        assert [label.tokens for label in rows.labels] == [2, 1, 3, 2, 2]


def test_depth_by_token_counts_pairs() -> None:
    rows = reference.pooled_rows(STATES, TRACES, "all", depth="token", num_bins=7)
    # Three pairs, then seven: the middles (2k + 1)·7 / 2K.
    assert [label.bin for label in rows.labels] == [1, 3, 5, 0, 1, 2, 3, 4, 5, 6]
    rows = reference.pooled_rows(STATES, TRACES, "mean", depth="token", num_bins=7)
    assert [label.bin for label in rows.labels] == [2, 5, 1, 4, 6]


def test_groups_and_their_counts() -> None:
    out = reference.basic_metrics(reference.pooled_rows(STATES, TRACES, "mean"))

    def counts(record: reference.Record) -> tuple[int, ...]:
        return tuple(record[f"num_{name}"] for name in ("rows", "tokens", "steps", "traces"))

    assert counts(out["global"]) == (5, 10, 5, 2)
    assert counts(out["segments"]["thought"]) == (3, 7, 3, 2)
    assert counts(out["segments"]["solution"]) == (1, 1, 1, 1)
    assert counts(out["categories"]["b"]) == (2, 4, 2, 2)
    assert counts(out["categories"]["c"]) == (0, 0, 0, 0)
    assert counts(out["segment_categories"]["thought"]["unlabelled"]) == (1, 2, 1, 1)
    assert out["categories"]["c"]["status"] == "too_few_rows"
    assert out["categories"]["c"]["rank_ceiling"] == 0
    assert set(out["segment_categories"]["solution"]) == {"a", "b", "c", "unlabelled"}


def test_bins_partition_their_group() -> None:
    rows = reference.pooled_rows(STATES, TRACES, "all")
    basic, depth = reference.basic_metrics(rows), reference.depth_profile(rows)
    assert depth["edges"][:3] == [0.0, 0.1, 0.2]
    for kind in ("segments", "categories"):
        for name, value in depth[kind].items():
            total = sum(record["num_rows"] for record in value["bins"])
            assert total == basic[kind][name]["num_rows"]
    assert sum(record["num_rows"] for record in depth["bins"]) == 10


def test_a_nonfinite_token_blanks_the_groups_of_the_rows_it_enters_or_is_dropped() -> None:
    broken = STATES.copy()
    broken[8, 2] = np.nan  # the middle token of the second trace's first step
    for pool in reference.POOLS:
        out = reference.basic_metrics(reference.pooled_rows(broken, TRACES, pool))
        entered = pool in ("all", "mean")
        assert out["global"]["status"] == ("nonfinite" if entered else "short_spectrum")
        assert out["categories"]["b"]["status"] == "short_spectrum"
        rows = reference.pooled_rows(broken, TRACES, pool, drop=True)
        assert np.isfinite(rows.x).all()
        assert sum(label.tokens for label in rows.labels) == 9
