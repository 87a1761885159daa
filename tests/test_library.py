"""metrics, batched_metrics, routes and Moments, for NumPy and JAX, against the plain reference."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import spectra
from spectra import errors, reference
from spectra.statistics import METRICS, PRESETS

F64 = NDArray[np.float64]
BAR = 1e-9
WIDE = 104
"""Enough for alpha. Programs are compiled for a shape: tests share arrays of this width."""

SINGLE = 2e-6
"""float32 has 24 bits; a result is rounded once, and alpha_req_r2 once before a subtraction."""


def sample(rows: int, dim: int, seed: int = 0, mean: float = 1.0) -> F64:
    rng = np.random.default_rng([seed, rows, dim])
    x = rng.standard_normal((rows, dim)) * np.arange(1, dim + 1) ** -0.6 + mean
    return np.asarray(x.astype(ml_dtypes.bfloat16).astype(np.float64))


def agree(found: spectra.Record, x: F64, convention: str, rtol: float = BAR) -> None:
    truth = reference.record(x, convention)
    assert found.status == truth["status"]
    assert found.rank_ceiling == truth["rank_ceiling"]
    for name in METRICS:
        value = getattr(found, name)
        if truth[name] is None:
            assert value is None, name
        else:
            assert float(value) == pytest.approx(truth[name], rel=rtol, abs=rtol), name


@pytest.mark.parametrize("convention", PRESETS)
@pytest.mark.parametrize("rows", [300, 121, 120, 90])
def test_metrics_follow_every_convention(rows: int, convention: str) -> None:
    x = sample(rows, 120)
    agree(spectra.metrics(x, convention), x, convention)


@pytest.mark.parametrize("convention", PRESETS)
@pytest.mark.parametrize("rows", [1, 2])
def test_metrics_of_very_few_rows(rows: int, convention: str) -> None:
    x = sample(rows, 5)
    agree(spectra.metrics(x, convention), x, convention)


@pytest.mark.parametrize(
    ("rows", "convention"),
    [
        *((130, name) for name in ("default", "rankme2023", "reptrix", "skean2025")),
        *((104, name) for name in ("default", "rankme2023")),  # by way of the rows' Gram matrix
    ],
)
def test_jax_arrays_follow_the_conventions(rows: int, convention: str) -> None:
    x = sample(rows, WIDE)
    with jax.enable_x64(True):
        agree(spectra.metrics(jnp.asarray(x), convention), x, convention)


def test_jax_without_float64_rounds_only_the_results() -> None:
    x = sample(130, WIDE, mean=30.0)
    agree(spectra.metrics(jnp.asarray(x, jnp.float32)), x, "default", SINGLE)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_any_float_dtype_is_computed_in_float64(dtype: type) -> None:
    x: NDArray[Any] = sample(150, 20).astype(dtype)
    agree(spectra.metrics(x), x.astype(np.float64), "default")


@given(
    rows=st.integers(2, 40), dim=st.integers(1, 20), seed=st.integers(0, 99),
    mean=st.sampled_from([0.0, 1.0, 3000.0]), rank=st.integers(0, 20),
)  # fmt: skip
@settings(max_examples=60)
def test_any_rows_agree_with_the_reference(
    rows: int, dim: int, seed: int, mean: float, rank: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.integers(-3, 4, (rows, rank)), rng.integers(-3, 4, (rank, dim))
    x: F64 = np.asarray(left @ right + mean, np.float64)
    agree(spectra.metrics(x), x, "default")


def test_values_are_of_the_arrays_kind() -> None:
    x = sample(130, WIDE)  # a shape that has been compiled
    assert type(spectra.metrics(x).rankme) is float
    assert isinstance(spectra.metrics(jnp.asarray(x, jnp.float32)).rankme, jax.Array)
    assert isinstance(spectra.batched_metrics(x[None]).rankme, np.ndarray)
    batch = spectra.batched_metrics(jnp.asarray(x[None], jnp.float32))
    assert isinstance(batch.rankme, jax.Array)
    assert batch.rankme.dtype == jnp.float32
    assert isinstance(spectra.routes(jnp.asarray(x)).svd_centered.values, jax.Array)


def test_undefined_values_have_a_status_and_a_reason() -> None:
    bad = sample(30, 6)
    bad[4, 2] = np.inf
    for x, status, text in (
        (np.zeros((0, 4)), "too_few_rows", "0 rows; at least 2"),
        (np.ones((1, 4)), "too_few_rows", "1 rows; at least 2"),
        (np.ones((30, 6)), "degenerate", "all rows are equal"),
        (bad, "nonfinite", "1 of 30 rows hold NaN or infinity, the first is row 4"),
        (sample(30, 6), "short_spectrum", "6 usable eigenvalues; alpha_req is fitted on ranks 11"),
    ):
        record = spectra.metrics(x)
        assert record.status == status
        assert record.reason is not None
        assert text in record.reason
        assert record.alpha_req is None
        assert (record.rankme is None) == (status != "short_spectrum")
        assert spectra.metrics(jnp.asarray(x)).status == status


def test_a_batch_is_its_members_with_or_without_jit() -> None:
    xs = np.stack([sample(140, 105, seed) for seed in range(3)])
    mask = np.random.default_rng(1).random((3, 140)) < 0.95
    mask[2] = False
    mask[2, 7] = True
    with jax.enable_x64(True):
        jitted = jax.jit(spectra.batched_metrics)(jnp.asarray(xs), jnp.asarray(mask))
        eager = spectra.batched_metrics(jnp.asarray(xs), jnp.asarray(mask))
    plain = spectra.batched_metrics(xs, mask)
    for place in range(3):
        truth = spectra.metrics(xs[place][mask[place]])
        for batch in (plain, eager, jitted):
            assert int(batch.num_rows[place]) == truth.num_rows
            assert int(batch.rank_ceiling[place]) == truth.rank_ceiling
            assert spectra.STATUSES[int(batch.status[place])] == truth.status
            for name in METRICS:
                value, expected = float(getattr(batch, name)[place]), getattr(truth, name)
                if expected is None:
                    assert np.isnan(value)
                else:
                    assert value == pytest.approx(expected, rel=BAR)


@pytest.mark.parametrize("rows", [104, 130])
def test_masked_rows_do_not_count_whatever_they_hold(rows: int) -> None:
    x = sample(rows, WIDE)
    hole = x.copy()
    hole[::6] = np.nan
    mask = np.arange(rows) % 6 > 0
    with jax.enable_x64(True):
        found = spectra.batched_metrics(jnp.asarray(hole[None]), jnp.asarray(mask[None]))
    for batch in (spectra.batched_metrics(hole[None], mask[None]), found):
        rank = float(batch.rankme[0])
        assert rank == pytest.approx(spectra.metrics(x[mask]).rankme, rel=SINGLE)


def test_unresolved_tails_are_repaired_outside_jit_and_flagged_inside() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((130, WIDE)) * 10.0 ** -np.linspace(0, 9, WIDE)
    truth = reference.record(x, "default")
    assert spectra.metrics(x).method == "svd"
    with jax.enable_x64(True):
        assert spectra.metrics(jnp.asarray(x)).method == "svd"
        xs = jnp.asarray(x[None])
        eager = spectra.batched_metrics(xs)
        inside = jax.jit(spectra.batched_metrics)(xs)
    assert float(eager.rankme_sigma[0]) == pytest.approx(truth["rankme_sigma"], rel=BAR)
    assert float(eager.error[0]) == 0
    assert float(inside.error[0]) > 5e-10


def test_routes_agree_with_the_reference() -> None:
    for shape in ((300, 120), (90, 120), (1, 4), (2, 4)):
        x = sample(*shape)
        found, truth = spectra.routes(x), reference.routes(x)
        for name in ("cov_centered", "svd_centered", "svd_uncentered"):
            route, expected = getattr(found, name), truth[name]
            for field in ("effective_rank", "alpha_req"):
                value = getattr(route, field)
                assert value == (
                    None if expected[field] is None else pytest.approx(expected[field], rel=BAR)
                )
        assert found.mean_energy_share == pytest.approx(truth["mean_energy_share"], rel=BAR)


def test_moments_add_and_subtract() -> None:
    x = sample(400, 30, mean=50.0)
    parts = [spectra.Moments.of(x[:90]), spectra.Moments.of(x[90:91]), spectra.Moments.of(x[91:])]
    whole = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-13)
    centered = x - x.mean(axis=0)
    np.testing.assert_allclose(whole.scatter, centered.T @ centered, rtol=1e-9, atol=1e-9)
    agree(spectra.metrics(whole), x, "default")
    agree(spectra.metrics(whole - parts[0]), x[90:], "default")
    agree(spectra.metrics(whole, "roy2007"), x, "roy2007")


def test_moments_of_jax_arrays_are_float64_whatever_the_setting() -> None:
    x = sample(200, 30).astype(np.float32)
    moments = spectra.Moments.of(jnp.asarray(x[:80])) + spectra.Moments.of(jnp.asarray(x[80:]))
    assert moments.gram.dtype == jnp.float64
    record = spectra.metrics(moments)
    assert isinstance(record.rankme, jax.Array)
    agree(record, x.astype(np.float64), "default", SINGLE)


def test_moments_that_cannot_resolve_a_tail_say_so() -> None:
    x = np.random.default_rng(0).standard_normal((99, 9)) * 10.0 ** -np.linspace(0, 9, 9)
    with pytest.warns(spectra.UnresolvedSpectrumWarning, match="Pass the rows"):
        spectra.metrics(spectra.Moments.of(x))


def test_wrong_calls_say_what_is_expected() -> None:
    x = sample(9, 4)
    with pytest.raises(ValueError, match=r"expected \[rows, dim\]"):
        spectra.metrics(x[0])
    with pytest.raises(ValueError, match=r"expected \[batch, rows, dim\]"):
        spectra.batched_metrics(x)
    with pytest.raises(ValueError, match=r"mask has shape \(3,\)"):
        spectra.batched_metrics(x[None], np.ones(3, bool))
    with pytest.raises(ValueError, match=r"Use spectra\.batched_metrics"):
        jax.jit(spectra.metrics)(jnp.asarray(x))
    with pytest.raises(ValueError, match="pass the rows"):
        spectra.metrics(spectra.Moments.of(x), "skean2025")
    with pytest.raises(ValueError, match="a row must be left"):
        spectra.Moments.of(x) - spectra.Moments.of(x)
    with pytest.raises(ValueError, match="only finite values"):
        spectra.routes(np.full((3, 3), np.nan))
    with pytest.raises(errors.UnknownConventionError, match="Expected one of: default, roy"):
        spectra.metrics(x, "rank_me")


@pytest.mark.parametrize("exponent", [-1000, -530, -260, 0, 260, 500, 1000])
def test_scale_changes_nothing(exponent: int) -> None:
    x = sample(130, WIDE)
    truth, scaled = reference.record(x, "default"), np.ldexp(x, exponent)
    records = [spectra.metrics(scaled)]
    with jax.enable_x64(True):
        records.append(spectra.metrics(jnp.asarray(scaled)))
    for record in records:
        assert record.status == truth["status"]
        for name in ("rankme", "rankme_sigma", "participation_ratio", "top_share"):
            assert float(getattr(record, name)) == pytest.approx(truth[name], rel=BAR), name
    found = spectra.routes(scaled)
    assert found.svd_centered.effective_rank == pytest.approx(truth["rankme_sigma"], rel=BAR)
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(found.svd_centered.values, np.ldexp(sigma, exponent), rtol=BAR)


def test_what_is_subtracted_leaves_its_rounding_which_is_told() -> None:
    x = sample(300, 40)
    large = 1e6 * np.random.default_rng(0).standard_normal((50, 40))
    whole = np.vstack([large, -large, x])
    rest = spectra.Moments.of(whole) - spectra.Moments.of(whole[:100])
    with pytest.warns(spectra.UnresolvedSpectrumWarning, match="may be off by"):
        spectra.metrics(rest)


def test_numpy_and_jax_moments_mix() -> None:
    x = sample(80, 30)
    left, right = spectra.Moments.of(x[:40]), spectra.Moments.of(jnp.asarray(x[40:], jnp.float32))
    for moments in (left + right, right + left):
        assert moments.gram.dtype == np.float64
        agree(spectra.metrics(moments), x, "default", SINGLE)


def test_rows_at_the_mean_stay_zero_when_rows_are_normalised() -> None:
    z = np.random.default_rng(0).standard_normal((64, WIDE))
    x = np.vstack([z, -z[::-1], np.zeros((2, WIDE))])
    agree(spectra.metrics(x, "skean2025"), x, "skean2025")
    with jax.enable_x64(True):
        agree(spectra.metrics(jnp.asarray(x), "skean2025"), x, "skean2025")


def test_no_rows_and_no_groups() -> None:
    for xs in (np.zeros((2, 0, 3)), jnp.zeros((2, 0, 3))):
        batch = spectra.batched_metrics(xs)
        assert [spectra.STATUSES[int(code)] for code in batch.status] == ["too_few_rows"] * 2
    assert len(spectra.batched_metrics(np.zeros((0, 4, 3))).rankme) == 0


def test_nested_lists_are_arrays_and_complex_numbers_are_not_real() -> None:
    x = sample(9, 4)
    assert spectra.metrics(x.tolist()).rankme == spectra.metrics(x).rankme
    with pytest.raises(ValueError, match="expected real numbers"):
        spectra.metrics(x + 1j)


def test_the_public_interface() -> None:
    assert set(dir(spectra)) >= set(spectra.__all__)
    assert sorted(spectra.__all__) == [
        "BatchedRecord", "Convention", "LayerPoint", "LayerProfile", "ModelResult", "ModelRun",
        "Moments", "PoolMetrics", "Record", "Results", "Routes", "RunConfig", "STATUSES",
        "UnresolvedSpectrumWarning", "__version__", "batched_metrics", "load", "merge", "metrics",
        "routes", "run", "run_part",
    ]  # fmt: skip
    for name in spectra.__all__:
        assert getattr(spectra, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spectra.nothing


@pytest.mark.parametrize("shape", [(20, 30), (2100, 40)])
@pytest.mark.parametrize("steep", [False, True])
def test_small_float_types_are_widened_not_rounded(shape: tuple[int, int], steep: bool) -> None:
    scale = np.geomspace(1.0, 1e-8 if steep else 0.1, shape[1])
    wide = (np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32)
    narrow = wide.astype(ml_dtypes.bfloat16)
    for x in (wide, narrow):
        found, expected = spectra.routes(x), spectra.routes(x.astype(np.float64))
        assert found.method == expected.method
        assert found.cov_centered.effective_rank == pytest.approx(
            expected.cov_centered.effective_rank, rel=1e-13
        )
        assert spectra.metrics(x).rankme == pytest.approx(
            spectra.metrics(x.astype(np.float64)).rankme, rel=1e-13
        )
