"""Comparing sources: paired differences against a plain definition, and what cannot be compared."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import spectra
from spectra import errors, reference
from spectra.artifacts import Sample, Step, write_artifact
from spectra.compare import Source, compare, prospect
from spectra.compare.differences import ALL, NORMALISED
from spectra.compare.documents import document
from spectra.grouping import Group
from spectra.statistics import PRESETS
from spectra.uncertainty import holm
from tests.cli_runs import call
from tests.test_uncertainty import carried

CONFIG = spectra.RunConfig(backend="cpu", repeats=3)
TRACES, STEPS, TOKENS, DIM = 6, 4, 10, 40
GLOBAL, DEDUCTION = Group("global"), Group("category", None, "Deduction")


def write(
    path: Path,
    *,
    seed: int = 0,
    dim: int = DIM,
    tokens: int = TOKENS,
    traces: tuple[int, ...] = tuple(range(TRACES)),
    flatter: float = 0.0,
    nan: bool = False,
) -> Path:
    """Traces of four steps, of which the first and last are Deduction."""
    rng = np.random.default_rng(seed)
    samples, layers, length = [], {}, STEPS * tokens
    for place, trace in enumerate(traces):
        offset = place * length
        steps = tuple(
            Step(
                *(k * tokens, (k + 1) * tokens, offset + k * tokens, offset + (k + 1) * tokens),
                *(("thought", "solution")[k == 3], ("Deduction", "Recall")[k in (1, 2)]),
            )
            for k in range(STEPS)
        )
        samples.append(Sample(f"t{trace}", None, offset, length, 0, steps))
    scale = np.arange(1.0, dim + 1) ** -(0.5 - flatter)
    for layer in (1, 2):
        states = rng.standard_normal((len(traces) * length, dim)) * scale
        if nan:
            states[5, 0] = np.nan
        layers[layer] = states.astype(ml_dtypes.bfloat16)
    return write_artifact(path, model="m", layers=layers, samples=samples, final_norm=False)


def rows_of(path: Path, layer: int | None, label: str | None) -> tuple[Any, list[int]]:
    """The rows of a label, and the number of the trace of each."""
    artifact = spectra.artifacts.open_artifact(path)
    with artifact.open_rows(artifact.layer(layer)) as reader:
        states = reader.read(0, reader.num_rows).astype(np.float64)
    found = reference.pooled_rows(states, artifact.index.samples, "all").where(None, label)
    return found.x, [one.trace for one in found.labels]


def test_a_source_differs_from_itself_by_exactly_nothing(tmp_path: Path) -> None:
    src = write(tmp_path / "a")
    found = compare([Source(src), Source(src)], CONFIG)
    (pair,) = found.pairs
    assert {one.group.kind for one in pair.groups} == {
        *("global", "segment", "category", "segment_category")
    }
    for one in pair.groups:
        for metric in ALL:
            each = one.differences[metric]
            if each.a is not None:
                assert (each.difference, each.se, each.sd, each.p) == (0.0, 0.0, 0.0, 1.0)
                assert (each.low, each.high, each.p_holm) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("label", [None, "Deduction"])
def test_differences_are_those_of_the_plain_definition(tmp_path: Path, label: str | None) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", seed=1, flatter=0.1)
    found = compare([Source(a), Source(b)], CONFIG)
    group = GLOBAL if label is None else DEDUCTION
    (one,) = (one for one in found.pairs[0].groups if one.group == group)
    (x, traces), (y, _) = rows_of(a, None, label), rows_of(b, None, label)
    assert one.count == len(x) == one.rows[0] == one.rows[1]
    assert one.blocks == TRACES
    each = one.differences["rankme"]
    ours, theirs = (spectra.metrics(rows).rankme for rows in (x, y))
    assert ours is not None
    assert theirs is not None
    assert each.a == pytest.approx(ours, rel=1e-9)
    assert each.b == pytest.approx(theirs, rel=1e-9)
    moved = carried(y, traces, TRACES) - carried(x, traces, TRACES)
    se = math.sqrt(TRACES / (TRACES - 1) * (moved**2).sum())
    assert each.se == pytest.approx(se, rel=1e-6)
    t = (theirs - ours) / se
    assert each.p == pytest.approx(2 * stats.t.sf(abs(t), TRACES - 1), rel=1e-5)
    reach = stats.t.ppf(0.975, TRACES - 1) * se
    assert each.low == pytest.approx(theirs - ours - reach, rel=1e-5)
    assert each.high == pytest.approx(theirs - ours + reach, rel=1e-5)
    ratio = one.differences[NORMALISED]
    assert ratio.difference == pytest.approx((theirs - ours) / min(len(x) - 1, DIM), rel=1e-9)
    assert ratio.p == pytest.approx(each.p, rel=1e-9)


def test_groups_are_drawn_at_the_size_of_the_smaller_one(tmp_path: Path) -> None:
    few, many = write(tmp_path / "a"), write(tmp_path / "b", tokens=25)
    (pair,) = compare([Source(few), Source(many)], CONFIG).pairs
    by_group = {one.group: one for one in pair.groups}
    whole = by_group[GLOBAL]
    assert (whole.count, whole.rows) == (240, (240, 600))
    each = whole.differences["rankme"]
    assert each.a == pytest.approx(spectra.metrics(rows_of(few, None, None)[0]).rankme, rel=1e-9)
    assert each.sd is not None
    assert each.sd > 0  # the larger source's draws differ
    capped = compare([Source(few), Source(many)], CONFIG, most=64).pairs[0].groups
    assert {one.count for one in capped} == {60, 64}


def test_traces_that_a_source_lacks_are_left_out_and_listed(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", traces=(7, 4, 3, 1, 0), seed=1)
    found = compare([Source(a), Source(b), Source(a, layer=1)], CONFIG)
    assert [one.left_out for one in found.prospect.sources] == [("t2", "t5"), ("t7",), ("t2", "t5")]
    assert [(pair.a, pair.b) for pair in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    shared = (0, 1, 3, 4)
    assert [one.sample_id for one in found.prospect.sources[1].samples] == [f"t{k}" for k in shared]
    x, traces = rows_of(a, None, None)
    kept = np.isin(traces, shared)
    whole = found.pairs[0].groups[0]
    assert whole.count == kept.sum() == 160
    expected = spectra.metrics(x[kept]).rankme
    assert whole.differences["rankme"].a == pytest.approx(expected, rel=1e-9)
    told = document(found)
    assert told["shared_traces"] == 4
    assert told["sources"][0]["left_out"] == ["t2", "t5"]
    assert "2 traces of" in told["warnings"][0]


def test_the_order_of_traces_in_an_index_changes_nothing(tmp_path: Path) -> None:
    a = write(tmp_path / "a")
    index = json.loads((a / "index.json").read_text())
    twisted = write(tmp_path / "b")
    (twisted / "index.json").write_text(json.dumps({**index, "samples": index["samples"][::-1]}))
    for most in (4096, 48):
        (pair,) = compare([Source(a), Source(twisted)], CONFIG, most=most).pairs
        for one in pair.groups:
            each = one.differences["rankme"]
            assert each.difference == 0.0, (one.group, each)


def test_different_widths_are_compared_by_normalised_rank_and_alpha(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", dim=30)
    found = compare([Source(a), Source(b)], CONFIG)
    assert found.prospect.metrics == (NORMALISED, "alpha_req", "alpha_req_r2")
    (warning,) = found.prospect.warnings
    assert "the widths differ (40, 30)" in warning
    each = found.pairs[0].groups[0].differences[NORMALISED]
    ours = spectra.metrics(rows_of(a, None, None)[0]).rankme
    theirs = spectra.metrics(rows_of(b, None, None)[0]).rankme
    assert ours is not None
    assert theirs is not None
    assert each.difference == pytest.approx(theirs / 30 - ours / 40, rel=1e-9)


def test_pools_and_layers_of_one_model(tmp_path: Path) -> None:
    src = write(tmp_path / "a", tokens=30)
    found = compare([Source(src, 1, "first"), Source(src, 2, "last")], CONFIG)
    assert [one.layer.index for one in found.prospect.sources] == [1, 2]
    assert found.pairs[0].groups == ()  # 24 rows a pool are too few
    more = compare([Source(src, 1, "all"), Source(src, 2, "all")], CONFIG).pairs[0].groups[0]
    x, y = (rows_of(src, layer, None)[0] for layer in (1, 2))
    each = more.differences["stable_rank"]
    assert each.a == pytest.approx(spectra.metrics(x).stable_rank, rel=1e-9)
    assert each.b == pytest.approx(spectra.metrics(y).stable_rank, rel=1e-9)


def test_a_group_with_bad_rows_is_undefined_on_that_side(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", nan=True)
    whole = compare([Source(a), Source(b)], CONFIG).pairs[0].groups[0].differences["rankme"]
    assert whole.a is not None
    assert (whole.b, whole.difference, whole.p, whole.p_holm) == (None, None, None, None)
    dropped = compare([Source(a), Source(b)], replace(CONFIG, nonfinite="drop"))
    assert dropped.pairs[0].groups[0].rows == (240, 239)
    assert dropped.pairs[0].groups[0].differences["rankme"].p is not None


def test_other_labels_are_told(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    text = (b / "index.json").read_text()
    (b / "index.json").write_text(text.replace('"Recall"', '"Deduction"', 1))
    (warning,) = prospect([Source(a), Source(b)], CONFIG).warnings
    assert "1 shared traces have other steps or labels" in warning


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", traces=(10, 11))
    with pytest.raises(errors.UsageError, match="Expected two or more"):
        compare([Source(a)], CONFIG)
    with pytest.raises(errors.UsageError, match="share no trace"):
        compare([Source(a), Source(b)], CONFIG)
    with pytest.raises(errors.UnknownLayerError, match="no states of layer 9"):
        compare([Source(a), Source(a, 9)], CONFIG)
    with pytest.raises(errors.UsageError, match="has no standard errors"):
        compare([Source(a), Source(a)], replace(CONFIG, convention="differank"))
    with pytest.raises(errors.UsageError, match="need 1 MB; there are 0 MB"):
        compare([Source(a), Source(a)], replace(CONFIG, max_memory=1000))


def test_sources_are_told_by_their_text(tmp_path: Path) -> None:
    odd = tmp_path / "m@3:mean"
    odd.mkdir()
    assert Source.parse(str(odd)) == Source(odd)
    assert Source.parse(f"{odd}:last") == Source(odd, None, "last")
    assert Source.parse("a/b") == Source(Path("a/b"))
    assert Source.parse("a/b@12") == Source(Path("a/b"), 12)
    assert Source.parse("a/b@12:first") == Source(Path("a/b"), 12, "first")
    assert Source.parse("a/b:mean") == Source(Path("a/b"), None, "mean")
    assert Source.parse("a:b@x") == Source(Path("a:b@x"))


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holms_adjustment(values: list[float | None]) -> None:
    found = holm(values)
    known = [(p, q) for p, q in zip(values, found, strict=True) if p is not None]
    assert [q is None for q in found] == [p is None for p in values]
    for p, q in known:
        assert q is not None
        # Rejected at q exactly where all smaller ones are, each at its own level.
        smaller = sorted(x for x, _ in known if x <= p)
        m = len(known)
        expected = max(min(1.0, x * (m - k)) for k, x in enumerate(smaller))
        assert q == expected


def test_the_command(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", seed=1, flatter=0.1)
    for index in tmp_path.glob("*/index.json"):
        index.write_text(index.read_text().replace('"Recall"', '"global"'))
    out = tmp_path / "out"
    done = call("compare", a, f"{b}@2", "--out", out, "--repeats", "2", "--backend", "cpu")
    assert done.exit_code == 0, done.output
    labels = [line.split()[0] for line in done.stdout.splitlines()[4:9]]
    assert labels == ["global", "thought", "solution", "Deduction", "category:global"]
    assert "b, layer 2, pool all less a, layer 2, pool all: 6 shared traces" in done.output
    told = json.loads((out / "comparison.json").read_text())
    groups = {(g["group_kind"], g["category"]): g for g in told["pairs"][0]["groups"]}
    each = groups["category", "Deduction"]["differences"]["rankme"]
    with (out / "comparison.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    (line,) = (
        row
        for row in table
        if (row["group_kind"], row["category"], row["metric"])
        == ("category", "Deduction", "rankme")
    )
    assert {name: float(line[name]) for name in each} == each
    as_json = call("compare", a, f"{b}@2", "--out", out, "--repeats", "2", "--json", "--quiet")
    assert json.loads(as_json.stdout) == told
    dry = call("compare", a, b, "--out", tmp_path / "none", "--dry-run")
    assert "240 rows  global\n" in dry.output
    assert "120 rows  category:global\n" in dry.output
    assert "120 rows  thought, global\n" in dry.output
    assert not (tmp_path / "none").exists()
    few = call("compare", a, "--out", out)
    assert few.exit_code == 2
    assert "Expected two or more" in few.stderr


def test_draws_of_few_traces_rest_on_few_blocks(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", seed=1)
    options = replace(CONFIG, sampling="trace", repeats=1)
    # Each trace has 40 rows: a draw of 40 is one trace, which tells nothing of others.
    one = compare([Source(a), Source(b)], options, most=40).pairs[0].groups[0]
    each = one.differences["rankme"]
    assert (one.count, one.blocks) == (40, 1)
    assert each.difference is not None
    assert (each.se, each.p) == (None, None)
    two = compare([Source(a), Source(b)], options, most=80).pairs[0].groups[0]
    assert two.blocks == 2
    sweep = replace(CONFIG, sampling="trace", counts=(40, 80), pools=("all",))
    (run,) = spectra.run(a, tmp_path / "out", sweep)
    points = json.loads((run.out / "pool_all/token_count_sweep.json").read_text())["curves"]
    assert points["global"][0]["se"] is None
    assert points["global"][1]["se"]["rankme"] > 0


def test_normalised_rank_is_over_what_the_convention_keeps(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", seed=1)
    kept = replace(PRESETS["li2025"], kept=10)
    found = compare([Source(a), Source(b)], replace(CONFIG, convention=kept))
    one = found.pairs[0].groups[0]
    rank, normalised = one.differences["rankme"], one.differences[NORMALISED]
    assert rank.a is not None
    assert normalised.a == pytest.approx(rank.a / 10)


def test_problems_named_by_one_source_count_for_all(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", seed=1)
    index = json.loads((b / "index.json").read_text())
    for place, sample in enumerate(index["samples"]):
        sample["problem_id"] = f"p{place // 2}"
    (b / "index.json").write_text(json.dumps(index))
    for sources in ((Source(a), Source(b)), (Source(b), Source(a))):
        found = compare(sources, CONFIG)
        assert (found.blocks.unit, found.pairs[0].groups[0].blocks) == ("problem", 3)
        assert "6 shared traces have another problem_id" in found.prospect.warnings[0]


def test_small_categories_are_merged_over_all_sources(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b", seed=1)
    text = (b / "index.json").read_text()
    (b / "index.json").write_text(text.replace('"Recall"', '"Other recall"'))
    options = replace(CONFIG, max_categories=2)
    groups = [
        {one.group for one in compare(sources, options).pairs[0].groups}
        for sources in ((Source(a), Source(b)), (Source(b), Source(a)))
    ]
    assert groups[0] == groups[1]
    assert Group("category", None, "(other)") in groups[0]
