"""The reference against closed forms, invariances and independent versions of each preset."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spectra import reference
from spectra.reference import CONVENTIONS, METRICS, record, routes, statistics

from .tolerances import (
    ASYMPTOTIC,
    BAR,
    EDGE,
    EIGENVALUES,
    INVARIANCE,
    PRINTED,
    ROUNDING,
    SINGLE_WEIGHTS,
    Tolerance,
)

Floats = NDArray[np.float64]
RANKS = ("rankme", "rankme_sigma", "participation_ratio", "stable_rank")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def power_law(exponent: float, size: int = 1024) -> Floats:
    """Singular values whose squares are i^−exponent."""
    return np.arange(1, size + 1, dtype=np.float64) ** (-exponent / 2)


def decaying(n: int, d: int, *, seed: int = 0, shift: float = 3.0) -> Floats:
    """Rows with a sloping spectrum and a mean, [n, d]."""
    return rng(seed).standard_normal((n, d)) * np.arange(1.0, d + 1) ** -0.6 + shift


def with_singular_values(sigma: Floats, n: int) -> Floats:
    """Rows [n, len(sigma)] whose mean is 0 to rounding and whose singular values are `sigma`."""
    noise = rng(1).standard_normal((n, len(sigma)))
    left, _ = np.linalg.qr(noise - noise.mean(axis=0))
    right, _ = np.linalg.qr(rng(2).standard_normal((len(sigma), len(sigma))))
    return np.asarray(left * sigma @ right.T)


def check(actual: Any, expected: Any, tolerance: Tolerance) -> None:
    assert tolerance.holds(actual, expected), (actual, expected, tolerance)


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 7, 100, 1024])
def test_flat_spectrum_has_its_rank_and_no_slope(rank: int) -> None:
    out = statistics(np.ones(rank))
    for name in RANKS:
        check(out[name], float(rank), ROUNDING)
    check(out["top_share"], 1 / rank, ROUNDING)
    check(out["alpha_req"], 0.0 if rank >= 100 else None, ROUNDING)
    assert out["alpha_req_r2"] is None


def test_zeros_behind_a_spectrum_change_nothing() -> None:
    full = statistics(power_law(1.0, 200))
    padded = statistics(np.append(power_law(1.0, 200), np.zeros(300)))
    assert {k: pytest.approx(v, rel=1e-13) for k, v in full.items() if k != "status"} == {
        k: v for k, v in padded.items() if k != "status"
    }


@pytest.mark.parametrize(
    ("exponent", "rankme", "rankme_sigma", "participation"),
    [(0.5, 805.1, 981.8, 521.1), (1.0, 182.4, 805.1, 34.3), (1.5, 18.6, 478.2, 5.4)],
)
def test_power_laws_give_the_published_figures(
    exponent: float, rankme: float, rankme_sigma: float, participation: float
) -> None:
    out = statistics(power_law(exponent))
    check(out["rankme"], rankme, PRINTED)
    check(out["rankme_sigma"], rankme_sigma, PRINTED)
    check(out["participation_ratio"], participation, PRINTED)
    check(out["rankme_sigma"], statistics(power_law(exponent / 2))["rankme"], ROUNDING)
    check(out["alpha_req_r2"], 1.0, ROUNDING)


@pytest.mark.parametrize("ranks", [(11, 100), (4, 100), (12, 100), (1, 1024), (50, 60)])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5])
def test_any_range_of_a_power_law_returns_its_exponent(
    exponent: float, ranks: tuple[int, int]
) -> None:
    alpha, _ = reference.alpha_req(power_law(exponent) ** 2, ranks)
    check(alpha, exponent, ROUNDING)


def test_fitting_singular_values_halves_the_exponent() -> None:
    check(reference.alpha_req(power_law(1.0), (11, 100))[0], 0.5, ROUNDING)


def test_truncation_and_epsilon_move_the_rank_as_documented() -> None:
    sigma = power_law(1.0, 4096)
    kept = reference.Convention(True, False, "lambda", 0.0, 2048, None)
    check(statistics(sigma)["rankme"], 431.1, PRINTED)
    check(statistics(sigma[: kept.kept], kept)["rankme"], 281.4, PRINTED)
    check(reference.effective_rank(sigma**2, 1e-7), 432.6, PRINTED)


@pytest.mark.parametrize("n", [2, 5, 300])
def test_rank_one_rows(n: int) -> None:
    x = np.outer(np.arange(n) + 1.0, decaying(1, 40)[0])
    for name in RANKS:
        check(record(x)[name], 1.0, ROUNDING)
        check(record(x, "roy2007")[name], 1.0, ROUNDING)
    assert record(x)["top_share"] == 1.0
    assert record(x)["status"] == "short_spectrum"


def test_matrix_of_known_singular_values() -> None:
    sigma = power_law(1.2, 128)
    out = record(with_singular_values(sigma, 300))
    for name in METRICS:
        check(out[name], statistics(sigma)[name], INVARIANCE)


# --- random matrices ------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(512, 512), (1024, 256), (256, 1024), (400, 800)])
def test_isotropic_gaussian(n: int, d: int) -> None:
    x = rng(3).standard_normal((n, d))
    out, (small, large) = record(x), sorted((n, d))
    check(out["rankme"], small * math.exp(-small / (2 * large)), ASYMPTOTIC)
    check(1 / out["participation_ratio"], 1 / (n - 1) + 1 / d, ASYMPTOTIC)
    if n == d:
        check(out["rankme_sigma"], 2 / (3 * math.pi) * math.exp(4 / 3) * d, ASYMPTOTIC)


@pytest.mark.parametrize("d", [100, 200])
def test_marchenko_pastur_edges(d: int) -> None:
    n = 800
    spectrum = routes(rng(4).standard_normal((n, d)))["cov_centered"]["spectrum"]
    check(spectrum[0], (1 + math.sqrt(d / n)) ** 2, EDGE)
    check(spectrum[-1], (1 - math.sqrt(d / n)) ** 2, EDGE)


# --- order and invariances ------------------------------------------------------------------------

SHAPES = [(2, 5), (30, 200), (129, 130), (130, 130), (131, 130), (700, 120)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("convention", ["default", "roy2007", "fastssl", "skean2025"])
def test_order_of_the_statistics(n: int, d: int, convention: str) -> None:
    out = record(decaying(n, d), convention)
    chain = [1.0, out["stable_rank"], out["participation_ratio"], out["rankme"]]
    chain += [out["rankme_sigma"], float(out["rank_ceiling"])]
    present = [value for value in chain if value is not None]
    for below, above in itertools.pairwise(present):
        assert below <= above * (1 + 1e-12)
    check(out["top_share"], 1 / out["stable_rank"], ROUNDING)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_scale_rotation_and_row_order_change_nothing(n: int, d: int, convention: str) -> None:
    x = decaying(n, d)
    rotation, _ = np.linalg.qr(rng(5).standard_normal((d, d)))
    expected = record(x, convention)
    for other in (x * 1e6, x * -1e-6, x @ rotation, x[rng(6).permutation(n)]):
        actual = record(other, convention)
        assert actual["status"] == expected["status"]
        for name in METRICS:
            check(actual[name], expected[name], INVARIANCE)


@pytest.mark.parametrize("convention", ["default", "roy2007", "fastssl", "skean2025"])
@pytest.mark.parametrize(("n", "d"), [(130, 120), (90, 240)])
def test_duplicating_every_row_changes_nothing(n: int, d: int, convention: str) -> None:
    x = decaying(n, d)
    for name in METRICS:
        actual = record(np.repeat(x, 2, axis=0), convention)[name]
        check(actual, record(x, convention)[name], INVARIANCE)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_only_centred_routes_ignore_a_shift(n: int, d: int) -> None:
    x = decaying(n, d)
    moved = x + 10 * rng(7).standard_normal(d)
    before, after = routes(x), routes(moved)
    for name in ("cov_centered", "svd_centered"):
        check(after[name]["effective_rank"], before[name]["effective_rank"], INVARIANCE)
        check(after[name]["alpha_req"], before[name]["alpha_req"], INVARIANCE)
    change = after["svd_uncentered"]["effective_rank"] / before["svd_uncentered"]["effective_rank"]
    assert abs(change - 1) > 1e-3


def test_routes_differ_only_as_defined() -> None:
    x = decaying(300, 120)
    out = routes(x)
    check(out["cov_centered"]["effective_rank"], record(x)["rankme"], ROUNDING)
    check(out["svd_centered"]["effective_rank"], record(x)["rankme_sigma"], ROUNDING)
    check(out["svd_uncentered"]["effective_rank"], record(x, "roy2007")["rankme"], ROUNDING)
    check(out["svd_centered"]["alpha_req"], out["cov_centered"]["alpha_req"], ROUNDING)
    squares = np.square(out["svd_centered"]["spectrum"]) / 299
    np.testing.assert_allclose(squares, out["cov_centered"]["spectrum"], rtol=1e-14)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    np.testing.assert_allclose(out["cov_centered"]["spectrum"], eigenvalues, rtol=1e-9)
    check(out["mean_energy_share"], 300 * np.sum(x.mean(0) ** 2) / np.sum(x**2), ROUNDING)


# --- presets against their sources ----------------------------------------------------------------


def pca_ratios(x: Floats, kept: int) -> Floats:
    """A PCA's explained-variance ratios, from the covariance's eigenvalues."""
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1]
    return np.asarray(np.clip(values / values.sum(), 0.0, None)[: min(kept, *x.shape)])


def log_slope(values: Floats, first: int, last: int) -> float:
    """Minus the slope of ln values on ln rank with weights 1/rank; polyfit squares its weights."""
    k = np.arange(first, last + 1)
    return -float(np.polyfit(np.log(k), np.log(values[first - 1 : last]), 1, w=k**-0.5)[0])


def entropy_rank(p: Floats) -> float:
    return math.exp(-sum(float(q) * math.log(q) for q in p if q > 0))


@pytest.mark.parametrize(
    ("convention", "first"), [("fastssl", 4), ("reptrix", 11), ("li2025", 12), ("default", 11)]
)
@pytest.mark.parametrize(("n", "d"), [(300, 160), (160, 300), (128, 128)])
def test_presets_on_eigenvalues(n: int, d: int, convention: str, first: int) -> None:
    x = decaying(n, d)
    values = pca_ratios(x, 2048)
    p = values / values.sum() + (0.0 if convention == "default" else 1e-7)
    out = record(x, convention)
    check(out["alpha_req"], log_slope(values, first, 100), INVARIANCE)
    expected = None if convention == "fastssl" else entropy_rank(p)
    check(out["rankme"], expected, EIGENVALUES)


@pytest.mark.parametrize(
    ("n", "d", "rankme", "alpha"),
    # Printed by reptrix 0.1.0's get_rankme and get_alpha (NumPy 2, scikit-learn 1) on these rows.
    [
        (300, 160, 28.44643881422615, 1.3082712142450064),
        (160, 300, 33.704965244841944, 1.2504331857635247),
        (128, 128, 21.11642034595347, 1.7039516353546222),
    ],
)
def test_reptrix_returned_these_numbers(n: int, d: int, rankme: float, alpha: float) -> None:
    out = record(decaying(n, d), "reptrix")
    check(out["rankme"], rankme, INVARIANCE)
    check(out["alpha_req"], alpha, SINGLE_WEIGHTS)


def test_reptrix_keeps_2048_values_and_normalises_what_it_keeps() -> None:
    sigma = power_law(1.0, 2500)
    conv = CONVENTIONS["reptrix"]
    assert conv.kept == 2048
    top = sigma[:2048] ** 2
    expected = entropy_rank(top / top.sum() + 1e-7)
    check(statistics(sigma[: conv.kept], conv)["rankme"], expected, ROUNDING)


@pytest.mark.parametrize(("n", "d"), [(100, 30), (30, 100), (1, 20)])
def test_rankme2023_and_roy2007(n: int, d: int) -> None:
    x = decaying(n, d)
    sigma = np.linalg.svd(x)[1]
    roy, garrido = record(x, "roy2007"), record(x, "rankme2023")
    check(roy["rankme"], entropy_rank(sigma / sigma.sum()), ROUNDING)
    check(garrido["rankme"], entropy_rank(sigma / sigma.sum() + 1e-7), ROUNDING)
    assert roy["rankme_sigma"] == roy["rankme"]
    assert roy["status"] == "ok"
    assert roy["alpha_req"] is None
    assert roy["rank_ceiling"] == min(n, d)


def test_epsilon_counts_values_that_are_zero() -> None:
    x = np.outer(np.arange(1.0, 51.0), np.ones(40))
    p = np.array([1.0] + [0.0] * 39) + 1e-7
    check(record(x, "rankme2023")["rankme"], entropy_rank(p), ROUNDING)
    check(record(x, "reptrix")["rankme"], entropy_rank(p), ROUNDING)
    few = np.array([1.0] + [0.0] * 2) + 1e-7
    check(record(x[:3], "reptrix")["rankme"], entropy_rank(few), ROUNDING)


@pytest.mark.parametrize("convention", ["skean2025", "differank"])
@pytest.mark.parametrize(("n", "d"), [(100, 30), (30, 100)])
def test_row_normalised_entropy(n: int, d: int, convention: str) -> None:
    x = decaying(n, d)
    z = x - x.mean(axis=0)
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True))
    kernel = z @ z.T / n
    check(np.trace(kernel), 1.0, ROUNDING)
    p = np.linalg.eigvalsh(kernel)
    check(record(x, convention)["rankme"], entropy_rank(p[p > 1e-12]), EIGENVALUES)


# --- statuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "convention", "status"),
    [
        (np.empty((0, 4)), "default", "too_few_rows"),
        (np.ones((1, 4)), "default", "too_few_rows"),
        (np.full((1, 4), np.nan), "default", "too_few_rows"),
        (np.empty((0, 4)), "roy2007", "too_few_rows"),
        (np.ones((1, 4)), "roy2007", "ok"),
        (np.full((3, 4), np.inf), "default", "nonfinite"),
        (np.full((1, 4), np.nan), "rankme2023", "nonfinite"),
        (np.zeros((5, 4)), "default", "degenerate"),
        (np.full((5, 4), 0.1), "default", "degenerate"),
        (np.full((5, 4), 0.1), "skean2025", "degenerate"),
        (np.zeros((5, 4)), "roy2007", "degenerate"),
        (decaying(100, 200), "default", "short_spectrum"),
        (decaying(101, 200), "default", "ok"),
        (decaying(101, 100), "default", "ok"),
        (decaying(200, 99), "reptrix", "short_spectrum"),
        (decaying(9, 200), "skean2025", "ok"),
    ],
)
def test_status(x: Floats, convention: str, status: str) -> None:
    out = record(x, convention)
    assert out["status"] == status
    undefined = {name for name in METRICS if out[name] is None}
    if status in ("too_few_rows", "nonfinite", "degenerate"):
        assert undefined == set(METRICS)
    elif status == "short_spectrum":
        assert undefined == {"alpha_req", "alpha_req_r2"}
    elif CONVENTIONS[convention].alpha is not None:
        assert not undefined


def test_large_mean_leaves_no_spurious_directions() -> None:
    x = with_singular_values(power_law(1.0, 8), 60)
    wide = np.hstack([x, np.zeros((60, 5))])
    wide[:, [0, 3, 9]] += 3000.0
    assert np.count_nonzero(reference.singular_values(wide)) == 8
    check(record(wide)["rankme"], record(x)["rankme"], BAR)
