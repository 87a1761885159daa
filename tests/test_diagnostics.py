"""Diagnostics of records: against plain definitions on the rows, and states made to trip them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import spectra
from spectra import reference
from spectra.artifacts import Sample, Step, open_artifact, write_artifact
from spectra.engine import Energy
from spectra.outputs.diagnostics import effective_number, local_slopes, rounding, strongest
from spectra.statistics import METRICS
from tests import reference_cases as cases

CONFIG = spectra.RunConfig(backend="cpu", repeats=1, num_bins=3, jackknife="off")


@pytest.mark.parametrize("pool", reference.POOLS)
@pytest.mark.parametrize("make", [cases.sloping, cases.large_mean])
def test_they_are_those_of_the_rows(
    tmp_path: Path, make: cases.Maker, pool: reference.Pool
) -> None:
    case = cases.long_case(make, 400, 104)
    src = case.write(tmp_path / "m")
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, pools=(pool,)))
    samples = open_artifact(src).index.samples
    rows = reference.pooled_rows(case.layers[case.primary], samples, pool, num_bins=3)
    for group, record in run.records[case.primary, pool].items():
        x = rows.where(group.segment, group.category, group.bin)
        found = record.diagnostics
        if not len(x.x):
            assert found is None
            continue
        assert found is not None
        energies, norms = (x.x**2).sum(axis=0), (x.x**2).sum(axis=1)
        assert found["mean_energy_share"] == pytest.approx(
            len(x.x) * (x.x.mean(axis=0) ** 2).sum() / energies.sum(), rel=1e-9
        )
        assert found["top_dimension"]["dimension"] == energies.argmax()
        assert found["top_dimension"]["energy_share"] == pytest.approx(
            energies.max() / energies.sum(), rel=1e-12
        )
        assert found["top_row"]["energy_share"] == pytest.approx(
            norms.max() / norms.sum(), rel=1e-12
        )
        sizes = np.bincount([label.trace for label in x.labels])
        assert found["effective_traces"] == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())
        for name, first, last in (("4-100", 4, 100), ("11-100", 11, 100), ("12-100", 12, 100)):
            expected, r2 = fitted(x.x, first, last)
            assert found["alpha_by_range"][name]["alpha"] == expected
            assert found["alpha_by_range"][name]["r2"] == r2
        fit = found["alpha_by_range"]["11-100"]["alpha"]
        assert fit == (record.alpha_req and pytest.approx(record.alpha_req, rel=1e-12))
        assert (found["quantisation"] is None) == (pool == "mean")


def fitted(x: Any, first: int, last: int) -> Any:
    """Alpha and R^2 by weighted and plain sums, or None where there are too few eigenvalues."""
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    values = values[: min(len(x) - 1, x.shape[1])]
    cut = max(x.shape) * np.finfo(float).eps
    values = values[values > cut**2 * values.max(initial=0)]
    if len(values) < last:
        return None, None
    t, y = np.log(np.arange(first, last + 1)), np.log(values[first - 1 : last])
    slope, constant = np.polyfit(t, y, 1, w=np.exp(-t / 2))
    r2 = 1 - ((y - slope * t - constant) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return pytest.approx(-slope, rel=1e-6), pytest.approx(r2, rel=1e-6, abs=1e-6)


def test_local_slopes_of_a_broken_power_law() -> None:
    ranks = np.arange(1.0, 129)
    broken = np.where(ranks <= 16, 1 / ranks, 16 / ranks**2)
    slopes = {tuple(one["ranks"]): one["alpha"] for one in local_slopes(broken)}
    assert list(slopes) == [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128)]
    assert slopes[4, 8] == pytest.approx(1.0)
    assert slopes[32, 64] == pytest.approx(2.0)
    assert local_slopes(np.zeros(3)) == []


def test_traces_of_unequal_size_count_for_fewer() -> None:
    assert effective_number(np.array([5, 5, 0, 5])) == pytest.approx(3.0)
    assert effective_number(np.array([97, 1, 1, 1])) == pytest.approx(100**2 / (97**2 + 3))
    assert effective_number(np.array([0])) is None


def test_rounding_is_estimated_within_a_factor() -> None:
    rng = np.random.default_rng(0)
    exact = rng.standard_normal((4000, 3)) * [1.0, 1.0, 1.0] + [0.0, 40.0, 3000.0]
    stored = exact.astype(ml_dtypes.bfloat16)
    energy = Energy.of(stored, np.arange(len(stored)))
    found = rounding(energy, stored.dtype)
    # At 40 the ulp is 1/4 and its variance 0.005; at 3000 it is 16: nothing is left of the rows'.
    added = ((stored.astype(float) - exact) ** 2).mean(axis=0).sum() / exact.var(axis=0).sum()
    assert found["dimensions"] == 1
    assert found["of"] == 3
    assert found["variance_share"] > 0.1
    assert added > 1


def test_a_massive_row_and_dimension_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((60, 20))
    states[17] *= 500
    states[:, 5] = 300 + rng.standard_normal(60)
    steps = tuple(Step(k, k + 20, k, k + 20, "thought", "a") for k in (0, 20, 40))
    src = write_artifact(
        tmp_path / "m",
        model="m",
        layers={1: states.astype(ml_dtypes.bfloat16)},
        samples=[Sample("only", None, 0, 60, 0, steps)],
        final_norm=False,
    )
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, pools=("all", "mean")))
    basic = json.loads((run.out / "pool_all/basic_metrics.json").read_text())
    found = basic["global"]["diagnostics"]
    assert found["top_row"]["at"] == "sample 'only', token 17 (row 17)"
    assert found["top_row"]["energy_share"] > 0.3
    assert found["top_dimension"]["dimension"] == 5
    means = json.loads((run.out / "pool_mean/basic_metrics.json").read_text())
    assert means["global"]["diagnostics"]["top_row"]["at"] == "sample 'only', token 0 (row 0)"
    (warning,) = (one for one in run.warnings if "bfloat16" in one)
    assert warning.startswith("layer 1, pool all: in 1 of 20 dimensions"), warning
    (plain,) = spectra.run(src, tmp_path / "b", replace(CONFIG, diagnostics=False))
    assert all(one.diagnostics is None for one in plain.records[1, "all"].values())


def test_a_row_is_named_by_its_token_where_tokens_are_dropped(tmp_path: Path) -> None:
    states = np.ones((30, 4))
    states[3] = np.nan
    states[12] = 50
    steps = (Step(2, 20, 2, 20, "thought", "a"), Step(20, 30, 20, 30, "thought", "b"))
    src = write_artifact(
        tmp_path / "m",
        model="m",
        layers={1: states.astype(ml_dtypes.bfloat16)},
        samples=[Sample("only", None, 0, 30, 2, steps)],
        final_norm=False,
    )
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, pools=("all",), nonfinite="drop"))
    (whole, *_) = run.records[1, "all"].values()
    assert whole.diagnostics is not None
    assert whole.diagnostics["top_row"]["at"] == "sample 'only', token 12 (row 12)"
    (kept,) = spectra.run(src, tmp_path / "b", replace(CONFIG, pools=("all",)))
    (whole, *_) = kept.records[1, "all"].values()
    assert whole.diagnostics is not None
    assert whole.diagnostics["top_row"] is None


def test_traces_that_carry_the_same_but_for_rounding_keep_their_order() -> None:
    by_trace = np.zeros((3, len(METRICS)))
    by_trace[:, METRICS.index("rankme")] = [0.1, -0.25, 0.25 * (1 + 1e-14)]
    found = strongest(by_trace, np.array([4, 5, 6]), {0: "a", 1: "b", 2: "c"})
    assert [one["sample_id"] for one in found] == ["b", "c", "a"]
    assert [one["rankme"] for one in found] == [-0.25, 0.25 * (1 + 1e-14), 0.1]
    nothing = strongest(np.zeros_like(by_trace), np.array([4, 5, 6]), {2: "c", 1: "b"})
    assert [one["sample_id"] for one in nothing] == ["b", "c"]
