"""Baselines: permuted labels are each trace's own, p-values exact, Gaussian spectra Gaussian."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spectra
from spectra import errors
from spectra.artifacts import Sample, Step, open_artifact, write_artifact
from spectra.categories import load_map
from spectra.chance import baselines
from spectra.chance.gaussian import gaussian_spectrum
from spectra.chance.permuted import Labelings, p_value, sizes_of
from spectra.grouping import Group, Steps
from spectra.pooling import POOLS, Pool, StepTokens, pooled_rows
from spectra.sources import Source
from tests.cli_runs import call

CONFIG = spectra.RunConfig(backend="cpu", repeats=1)
DIM, TRACES, STEPS = 16, 8, 10


def write(path: Path, *, planted: float = 0.0, traces: int = TRACES, seed: int = 0) -> Path:
    """Traces of ten steps of unequal length; rows of "a" are flatter by `planted`."""
    rng = np.random.default_rng(seed)
    samples, states, offset = [], [], 0
    scale = np.arange(1.0, DIM + 1) ** -1.0
    for trace in range(traces):
        steps, at = [], 0
        for k in range(STEPS):
            length = int(rng.integers(0, 12))
            label = "ab"[int(rng.integers(2))]
            segment = ("thought", "solution")[k > 5]
            steps.append(Step(at, at + length, offset + at, offset + at + length, segment, label))
            rows = rng.standard_normal((length, DIM))
            states.append(rows * (scale ** (1 - planted) if label == "a" else scale))
            at += length
        samples.append(Sample(f"t{trace}", None, offset, at, 0, tuple(steps)))
        offset += at
    layer = np.concatenate(states).astype(ml_dtypes.bfloat16)
    return write_artifact(path, model="m", layers={1: layer}, samples=samples, final_norm=False)


def rows_of(path: Path, pool: Pool = "all") -> Any:
    steps = Steps.of(open_artifact(path).index.samples, load_map("identity"))
    return pooled_rows(pool, StepTokens.of(steps, np.empty(0, np.int64)), 1, "step")


@pytest.mark.parametrize("pool", POOLS)
def test_permuted_labels_are_each_traces_own(tmp_path: Path, pool: Pool) -> None:
    rows = rows_of(write(tmp_path / "m"), pool)
    found = Labelings.of(rows, 20, 0)
    steps, filled = rows.pairs.steps, rows.pairs.count > 0
    assert found.rows[0] is rows
    seen = set()
    for one in found.rows[1:]:
        made = one.pairs.steps
        assert np.array_equal(one.first, rows.first)
        assert np.array_equal(one.step, rows.step)
        for name in ("segment", "category"):
            assert np.array_equal(getattr(made, name)[~filled], getattr(steps, name)[~filled])
        for trace in range(TRACES):
            own = filled & (steps.trace == trace)
            ours, theirs = (
                sorted(zip(s.segment[own].tolist(), s.category[own].tolist(), strict=True))
                for s in (made, steps)
            )
            assert ours == theirs
        seen.add(made.category.tobytes())
    assert len(seen) == 20
    again = Labelings.of(rows, 5, 0).rows[5].pairs.steps
    assert np.array_equal(again.category, found.rows[5].pairs.steps.category)


def test_every_labeling_is_drawn_from_at_one_count(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "m"))
    found = Labelings.of(rows, 10, 0)
    sizes = [sizes_of(one) for one in found.rows]
    for kind in ("segment", "category"):
        groups = [group for group in found.counts if group.kind == kind]
        assert len(groups) == 2
        least = min(own[group] for own in sizes for group in groups)
        assert {found.counts[group] for group in groups} == {least}
    samples = list(found.draws(2, 0))
    assert sorted({sample.repeat for sample in samples}) == list(range(22))
    for sample in samples:
        labelled = found.rows[sample.repeat // 2]
        atoms = labelled.atoms.mask(sample.group)
        assert atoms[labelled.atom_of(sample.rows)].all()
        assert len(set(sample.rows.tolist())) == found.counts[sample.group]


@given(st.lists(st.integers(0, 20), min_size=2, max_size=12, unique=True))
def test_p_values_are_uniform_over_the_labelings(values: list[int]) -> None:
    ps = [
        p_value(float(one), [float(v) for k, v in enumerate(values) if k != place])
        for place, one in enumerate(values)
    ]
    n = len(values)
    for share in range(1, n + 1):
        # At most as many are at or below a level as it says: exactly so without ties.
        assert sum(p <= share / n + 1e-12 for p in ps) <= share
    assert p_value(1.0, [1.0] * 5) == 1.0


@settings(max_examples=10, deadline=None)
@given(shape=st.sampled_from([(30, 8), (8, 8), (5, 12)]), seed=st.integers(0, 5))
def test_gaussian_spectra_are_those_of_gaussian_rows(shape: tuple[int, int], seed: int) -> None:
    degrees, dim = shape
    rng = np.random.default_rng(seed)
    variances = rng.permutation(np.arange(1.0, dim + 1) ** -1.0)
    ours = [gaussian_spectrum(variances, degrees, rng) for _ in range(800)]
    rows = [rng.standard_normal((degrees, dim)) * np.sqrt(variances) for _ in range(800)]
    plain = [np.linalg.svd(x, compute_uv=False) ** 2 for x in rows]
    assert {len(values) for values in ours} == {min(shape)}
    for k in range(min(shape)):
        a, b = (np.array([values[k] for values in some]) for some in (ours, plain))
        assert abs(a.mean() - b.mean()) < 5 * np.hypot(a.std(), b.std()) / np.sqrt(800)
        assert 0.75 < a.std() / b.std() < 1.33


def test_directions_without_variance_stay_without() -> None:
    rng = np.random.default_rng(0)
    values = gaussian_spectrum(np.array([1.0, 0.0, 2.0, 0.0]), 50, rng)
    assert (values[:2] > 1).all()
    assert np.abs(values[2:]).max() < 1e-12


def test_observed_and_permuted_metrics_are_those_of_the_rows(tmp_path: Path) -> None:
    src = write(tmp_path / "m", planted=0.5)
    config = replace(CONFIG, repeats=2, seed=3)
    found = baselines(Source(src), config, permutations=4, gaussians=3)
    rows = rows_of(src)
    labelings = Labelings.of(rows, 4, 3)
    artifact = open_artifact(src)
    with artifact.open_rows(artifact.layer()) as reader:
        states = reader.read(0, reader.num_rows).astype(np.float64)
    steps = [step for one in artifact.index.samples for step in one.steps]
    tokens = np.concatenate([np.arange(s.global_start, s.global_end) for s in steps])
    by_group: dict[Group, list[float]] = {}
    for sample in labelings.draws(2, 3):
        record = spectra.metrics(states[tokens[sample.rows]])
        by_group.setdefault(sample.group, []).append(float(record.rankme))
    assert set(found.groups) == set(by_group)
    for group, (size, count, metrics) in found.groups.items():
        means = np.array(by_group[group]).reshape(5, 2).mean(axis=1)
        one = metrics["rankme"]
        assert one.observed == pytest.approx(means[0], rel=1e-9)
        assert one.permuted == pytest.approx((means[1:].mean(), means[1:].std(ddof=1)), rel=1e-9)
        assert one.p == p_value(means[0], means[1:].tolist())
        assert (size, count) == (sizes_of(rows)[group], labelings.counts[group])
        assert one.isotropic.mean is not None
        flat = min(count - 1, DIM)
        assert 0.5 * flat < one.isotropic.mean < flat
        assert one.same_covariance.mean is not None
        assert one.same_covariance.mean < one.isotropic.mean


def test_a_planted_difference_is_found_and_nothing_is_found_in_nothing(tmp_path: Path) -> None:
    ps = {}
    for planted in (0.0, 0.6):
        src = write(tmp_path / f"m{planted}", planted=planted)
        found = baselines(Source(src), CONFIG, permutations=99, gaussians=2)
        _, _, metrics = found.groups[Group("category", None, "a")]
        ps[planted] = metrics["rankme"].p
    assert ps[0.6] == 0.01
    assert ps[0.0] is not None
    assert ps[0.0] > 0.05


def test_labelings_of_the_same_rows_are_no_evidence(tmp_path: Path) -> None:
    # Every trace has one label: no permutation changes a group, and only the order of rows differs.
    rng, samples = np.random.default_rng(0), []
    for trace in range(6):
        steps = tuple(
            Step(k, k + 10, 60 * trace + k, 60 * trace + k + 10, "thought", "ab"[trace % 2])
            for k in range(0, 60, 10)
        )
        samples.append(Sample(f"t{trace}", None, 60 * trace, 60, 0, steps))
    layer = rng.standard_normal((360, DIM)).astype(np.float32)
    src = write_artifact(
        tmp_path / "m", model="m", layers={1: layer}, samples=samples, final_norm=False
    )
    found = baselines(Source(src), replace(CONFIG, seed=-3), permutations=19, gaussians=2)
    for _, count, metrics in found.groups.values():
        assert count == 180
        assert {one.p for one in metrics.values() if one.observed is not None} == {1.0}


def test_the_command(tmp_path: Path) -> None:
    src, out = write(tmp_path / "m"), tmp_path / "out"
    index = src / "index.json"
    index.write_text(index.read_text().replace('"a"', '"global"'))
    few = ("--permutations", "3", "--gaussians", "2", "--backend", "cpu", "--out", out)
    done = call("baselines", src, *few)
    assert done.exit_code == 0, done.output
    assert "m, layer 1, pool all: rankme" in done.output
    assert " category:global " in done.output
    told = json.loads((out / "baselines.json").read_text())
    assert told["permutations"] == 3
    with (out / "baselines.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == 4 * 7
    first, group = table[0], told["groups"][0]
    assert float(first["permuted_mean"]) == group["metrics"]["rankme"]["permuted"]["mean"]
    assert float(first["p_holm"]) == group["metrics"]["rankme"]["p_holm"]
    again = call("baselines", f"{src}@1:all", *few, "--json", "--quiet")
    assert json.loads(again.stdout) == told


def test_what_has_no_baseline_is_refused(tmp_path: Path) -> None:
    src = write(tmp_path / "m")
    for count in (0, 10**12):
        with pytest.raises(errors.UsageError, match=f"permutations is {count}"):
            baselines(Source(src), CONFIG, permutations=count)
        with pytest.raises(errors.UsageError, match=f"gaussians is {count}"):
            baselines(Source(src), CONFIG, gaussians=count)
    with pytest.raises(errors.UsageError, match="normalises rows"):
        baselines(Source(src), replace(CONFIG, convention="differank"))
    with pytest.raises(errors.UsageError, match="no two segments"):
        baselines(Source(write(tmp_path / "n", traces=2), None, "first"), CONFIG, permutations=1)
    path = next(src.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-2:] = b"\xc0\x7f"  # a bfloat16 NaN, in the last row
    path.write_bytes(bytes(content))
    with pytest.raises(errors.NonFiniteRowsError, match="--nonfinite drop"):
        baselines(Source(src), CONFIG, permutations=1, gaussians=2)
    baselines(Source(src), replace(CONFIG, nonfinite="drop"), permutations=1, gaussians=2)
