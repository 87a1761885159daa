"""The host linear algebra against NumPy: reductions, values-only solves, products, QR."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy
from numpy.typing import NDArray

import spectra
from spectra import reference
from spectra.backend.host import HostBackend, reduced_rows
from spectra.linalg import (
    Factor,
    Reduced,
    Spectra,
    Tridiagonal,
    add_gram,
    led_by_ones,
    put_row_gram,
    reduce_along,
    reduce_in_place,
    solve,
    spectra_of_blocks,
    spectra_of_factors,
    twostage,
)
from spectra.linalg.gram import SMALLEST_TILE, tile_order
from spectra.linalg.lapack import lasq1
from spectra.linalg.resolution import EPS, ROUNDING
from spectra.linalg.rowspace import triangular_factor
from spectra.linalg.tridiagonal import definite_eigenvalues, eigenvalues

from .tolerances import BAR

F64 = NDArray[np.float64]
RANKS = (11, 100)


def symmetric(size: int, seed: int = 0) -> F64:
    x = np.random.default_rng(seed).standard_normal((2 * size, size))
    return np.asfortranarray(x.T @ x)


def dense(t: Tridiagonal) -> F64:
    return np.diag(t.diag) + np.diag(t.off, 1) + np.diag(t.off, -1)


@pytest.mark.parametrize("size", [1, 2, 3, 33, 65])
def test_reduction_keeps_the_spectrum_and_the_first_vector(size: int) -> None:
    matrix = symmetric(size)
    t = reduce_in_place(matrix.copy(order="F"))
    expected = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(np.linalg.eigvalsh(dense(t)), expected, rtol=1e-12)
    if size > 1:
        trailing = Tridiagonal(t.diag[1:], t.off[1:])
        inner = np.linalg.eigvalsh(matrix[1:, 1:])
        np.testing.assert_allclose(np.linalg.eigvalsh(dense(trailing)), inner, rtol=1e-12)


@pytest.mark.parametrize("size", [twostage.BAND + 1, 100, 333])
def test_two_stages_keep_the_spectrum_and_the_first_vector(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = symmetric(size)
    by_one = reduce_in_place(matrix.copy(order="F"))
    monkeypatch.setattr(twostage, "LEAST_ORDER", size)
    by_two = reduce_in_place(matrix.copy(order="F"))
    # The first vector fixes the form up to signs, but rounding moves its later entries freely.
    assert np.abs(by_two.off[:3]) == pytest.approx(np.abs(by_one.off[:3]), rel=1e-10)
    for first, inner in ((0, matrix), (1, matrix[1:, 1:])):
        found = np.linalg.eigvalsh(dense(Tridiagonal(by_two.diag[first:], by_two.off[first:])))
        np.testing.assert_allclose(found, np.linalg.eigvalsh(inner), rtol=1e-12)


def test_two_stages_are_found_in_the_openblas_of_scipy() -> None:
    twostage.available.cache_clear()
    twostage._stage.cache_clear()
    lapack = scipy.show_config(mode="dicts")["Build Dependencies"]["lapack"]["name"]
    assert twostage.available() or "openblas" not in lapack


def test_without_them_every_order_is_reduced_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = symmetric(50)
    expected = reduce_in_place(matrix.copy(order="F"))
    monkeypatch.setattr(twostage, "LEAST_ORDER", 50)
    monkeypatch.setattr(twostage, "available", lambda: False)
    found = reduce_in_place(matrix.copy(order="F"))
    np.testing.assert_array_equal(found.diag, expected.diag)


@pytest.mark.parametrize("size", [1, 2, 40])
@pytest.mark.parametrize("kind", ["random", "first axis", "zero"])
def test_reduction_along_a_direction_serves_rank_one_updates(size: int, kind: str) -> None:
    matrix = symmetric(size)
    u = np.zeros(size)
    if kind == "random":
        u = np.random.default_rng(1).standard_normal(size)
    elif kind == "first axis":
        u[0] = -2.0
    t = reduce_along(matrix.copy(order="F"), u.copy())
    updated = dense(t)
    updated[0, 0] += u @ u
    expected = np.linalg.eigvalsh(matrix + np.outer(u, u))
    np.testing.assert_allclose(np.linalg.eigvalsh(updated), expected, rtol=1e-12)


def test_both_solvers_agree_and_definite_values_are_relatively_accurate() -> None:
    # T = L L' with L bidiagonal and graded.
    size = 30
    diag, below = 10.0 ** -np.arange(size), 0.3 * 10.0 ** -np.arange(1, size)
    lower = np.diag(diag) + np.diag(below, -1)
    t = Tridiagonal(np.diag(lower @ lower.T).copy(), np.diag(lower @ lower.T, 1).copy())
    definite = definite_eigenvalues(t)
    assert definite is not None
    # det T = prod l: sums of logarithms see every value, however small, with equal weight.
    assert np.log(definite).sum() == pytest.approx(2 * np.log(diag).sum(), rel=1e-13)
    plain = eigenvalues(t)
    assert np.abs(plain - definite).max() <= 4 * EPS * definite[0]
    assert (np.diff(definite) <= 0).all()


def test_indefinite_has_no_definite_values_and_nan_is_not_hidden() -> None:
    assert definite_eigenvalues(Tridiagonal(np.array([1.0, -1.0]), np.array([0.0]))) is None
    assert definite_eigenvalues(Tridiagonal(np.array([1.0, np.nan]), np.array([0.0]))) is None
    assert len(eigenvalues(Tridiagonal(np.empty(0), np.empty(0)))) == 0


SIZES = [1, 5, SMALLEST_TILE - 1, SMALLEST_TILE, SMALLEST_TILE + 1, 7 * SMALLEST_TILE + 7]


@pytest.mark.parametrize("dim", SIZES)
@pytest.mark.parametrize("rows", [1, 7])
def test_tiles_add_up_to_the_product(dim: int, rows: int) -> None:
    rng = np.random.default_rng(dim)
    y, before = rng.standard_normal((rows, dim)), rng.standard_normal((dim, dim))
    gram = before.copy(order="F")
    with ThreadPoolExecutor(3) as threads:
        add_gram(gram, y, threads, 3)
    lower = np.tril_indices(dim)
    np.testing.assert_allclose(gram[lower], (before + y.T @ y)[lower], rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(gram[np.triu_indices(dim, 1)], before[np.triu_indices(dim, 1)])


@pytest.mark.parametrize(
    ("order", "cores", "tile"),
    [(576, 2, 288), (1000, 2, 512), (2048, 1, 1024), (2048, 4, 512), (4096, 16, 512), (64, 2, 192)],
)
def test_tiles_are_large_and_their_shares_even(order: int, cores: int, tile: int) -> None:
    assert tile_order(order, cores) == tile


@pytest.mark.parametrize("rows", [0, *SIZES])
@pytest.mark.parametrize("start", [0, 2])
def test_tiles_of_the_other_product_are_put_in_place(rows: int, start: int) -> None:
    rng = np.random.default_rng(rows)
    y, before = rng.standard_normal((rows, 7)), rng.standard_normal((rows + start,) * 2)
    expected = before.copy()
    lower = np.tril_indices(rows)
    expected[start:, start:][lower] = (y @ y.T)[lower]
    with ThreadPoolExecutor(3) as several:
        for threads in (None, several):
            gram = before.copy(order="F")
            put_row_gram(gram, start, y, threads, 3)
            np.testing.assert_allclose(gram, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("blocks", [[30], [7, 0, 23], [1] * 30, [100, 3]])
def test_folding_blocks_keeps_the_gram_matrix(blocks: list[int]) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((rows, 6)) for rows in blocks]
    factor = triangular_factor(parts, 6)
    x = np.concatenate(parts)
    np.testing.assert_allclose(factor.T @ factor, x.T @ x, rtol=1e-12, atol=1e-12)


def known_rows(rows: int, dim: int, condition: float, mean: float) -> F64:
    """Rows whose centred singular values fall geometrically from 1 to 1/condition."""
    rng = np.random.default_rng([rows, dim])
    rank = min(rows - 1, dim)
    left = rng.standard_normal((rows, rank))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.standard_normal((dim, rank)))[0]
    sigma = condition ** -np.linspace(0, 1, rank)
    return np.asarray((left * sigma) @ right.T + mean * rng.standard_normal(dim))


def solved_rows(x: F64) -> Spectra:
    rows, dim = x.shape
    if rows <= dim:
        return solve(reduced_rows(x), rows, dim, "rows", RANKS)
    backend, shift = HostBackend(1), x.mean(axis=0)
    sums = backend.accumulate(backend.zeros(dim), x, shift)
    return solve(backend.reduce_moments(sums, shift), rows, dim, "moments", RANKS)


@pytest.mark.parametrize("shape", [(1, 30), (20, 30), (300, 30)])
def test_solving_side_by_side_changes_nothing(shape: tuple[int, int]) -> None:
    rows, dim = shape
    reduced = reduced_rows(known_rows(*shape, 1e3, 2.0) if rows > 1 else np.ones(shape))
    with ThreadPoolExecutor(2) as threads:
        beside = solve(reduced, rows, dim, "rows", RANKS, threads=threads)
    alone = solve(reduced, rows, dim, "rows", RANKS)
    for name in ("centered", "uncentered", "covariance", "error", "disagreement"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(alone, name))


@pytest.mark.parametrize("shape", [(1, 30), (2, 30), (20, 30), (31, 30), (300, 30)])
@pytest.mark.parametrize("mean", [0.0, 50.0])
def test_a_spectrum_alone_is_that_of_both(shape: tuple[int, int], mean: float) -> None:
    x = known_rows(*shape, 1e3, mean) if shape[0] > 1 else np.ones(shape)
    backend, shift = HostBackend(1), x.mean(axis=0)
    sums = backend.accumulate(backend.zeros(shape[1]), x, shift)
    for reduced in (reduced_rows(x), backend.reduce_moments(sums, shift)):
        both = solve(reduced, *shape, "rows", RANKS)
        centered = solve(reduced, *shape, "rows", RANKS, "centered")
        uncentered = solve(reduced, *shape, "rows", RANKS, "uncentered")
        assert centered.centered.tobytes() == both.centered.tobytes()
        assert uncentered.uncentered.tobytes() == both.uncentered.tobytes()
        assert len(centered.uncentered) == len(uncentered.centered) == 0
        assert len(centered.covariance) == len(uncentered.covariance) == 0
        # QL's largest eigenvalue and that of dqds differ in the last digits.
        alone = max(centered.error, uncentered.error)
        assert alone == pytest.approx(both.error, rel=1e-6)
        assert centered.repaired_by(both).uncentered is both.uncentered


def entropies(squares: F64) -> F64:
    """Of p ~ l and p ~ s."""
    weights = np.stack([squares, np.sqrt(squares)])
    p = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1))


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("shape", [(60, 60), (61, 60), (66, 60), (240, 60), (3000, 60), (40, 90)])
@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_the_engine_knows_when_a_gram_matrix_is_good_enough(
    shape: tuple[int, int], condition: float, mean: float
) -> None:
    x = known_rows(*shape, condition, mean)
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[: min(shape[0] - 1, shape[1])]
    solved = solved_rows(x)
    if condition >= 1e8:
        assert not solved.resolved
    if mean and condition <= 1e4:
        assert solved.resolved
    if solved.resolved:
        moved = np.abs(entropies(solved.centered) - entropies(sigma**2)).max()
        assert moved <= max(solved.error, 1e-13)
    small = sigma**2 < 1e-2 * sigma[0] ** 2
    error = np.abs(solved.covariance - sigma**2)[small]
    assert (error <= (4 if mean else 1) * ROUNDING * EPS * sigma[0] ** 2).all()


def test_a_tail_below_the_grams_resolution_is_taken_from_the_rows() -> None:
    x = known_rows(300, 40, 1e9, 0.0)
    truth = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    solved = spectra_of_blocks(lambda: [x[:100], x[100:101], x[101:]], 40)
    assert solved.method == "svd"
    np.testing.assert_allclose(np.sqrt(solved.centered), truth, rtol=1e-6)
    raw = np.linalg.svd(x, compute_uv=False)
    np.testing.assert_allclose(np.sqrt(solved.uncentered), raw, rtol=1e-6)


@pytest.mark.parametrize("mean", [0.0, 1.0, 1e6])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 1), (4, 5), (5, 5), (6, 5), (90, 20)])
def test_both_spectra_of_the_sure_route_are_those_of_svds(
    shape: tuple[int, int], mean: float
) -> None:
    rng = np.random.default_rng(shape)
    x = rng.standard_normal(shape) * 10.0 ** -np.arange(shape[1]) + mean
    solved = spectra_of_blocks(lambda: [x], shape[1])
    exist = min(shape[0] - 1, shape[1])
    centered = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[:exist]
    raw = np.linalg.svd(x, compute_uv=False)
    # Values up to max(n, d) eps |X|_F count as zero.
    rounding = max(30, *shape) * EPS * float(np.linalg.norm(x))
    np.testing.assert_allclose(np.sqrt(solved.uncentered), raw, rtol=0, atol=rounding)
    np.testing.assert_allclose(np.sqrt(solved.centered), centered, rtol=0, atol=rounding)


def test_singular_values_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="order 2"):
        lasq1(np.array([1.0, np.nan]), np.ones(1))


def test_a_large_mean_costs_the_small_values_nothing() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((400, 50))
    x[:, :3] += 3000.0
    truth = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    raw = np.linalg.svd(x, compute_uv=False)
    backend, shift = HostBackend(1), x[0].copy()
    sums = backend.accumulate(backend.zeros(50), x, shift)
    solved = solve(backend.reduce_moments(sums, shift), 400, 50, "moments", (1, 2))
    np.testing.assert_allclose(np.sqrt(solved.centered), truth, rtol=1e-12)
    np.testing.assert_allclose(np.sqrt(solved.uncentered), raw, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_very_few_rows(rows: int) -> None:
    x = np.random.default_rng(rows).standard_normal((rows, 7))
    solved = solve(reduced_rows(x), rows, 7, "rows", RANKS)
    assert len(solved.centered) == rows - 1
    raw = np.linalg.svd(x, compute_uv=False)
    np.testing.assert_allclose(np.sqrt(solved.uncentered), raw, rtol=1e-12)


def test_a_solver_that_fails_is_never_resolved() -> None:
    good, bad = Tridiagonal(np.ones(2), np.zeros(1)), Tridiagonal(np.full(2, np.nan), np.zeros(1))
    for centered, raw in ((good, bad), (bad, good)):
        assert not solve(Reduced(centered, raw, 2.0, 0.0, 0.0), 9, 2, "moments", RANKS).resolved


def test_a_large_mean_beside_rows_of_lower_rank_is_resolved() -> None:
    # Three rows of rank two; a third singular value of 5e-7 would move the effective rank by 1e-9.
    x = np.array([[2992.0, 2992.0, 2992.0], [3000.0, 3000.0, 3008.0], [3008.0, 3008.0, 3008.0]])
    found, expected = spectra.routes(x), reference.routes(x)["svd_uncentered"]
    assert BAR.holds(found.svd_uncentered.effective_rank, expected["effective_rank"])


@pytest.mark.parametrize("size", [1, 7, 300, 1024, 2500])
def test_blocks_change_no_byte_of_an_svd(size: int) -> None:
    x = np.random.default_rng(0).standard_normal((2500, 12)) * 10.0 ** np.arange(12)
    whole = spectra_of_blocks(lambda: [x], 12)
    cut = spectra_of_blocks(lambda: (x[at : at + size] for at in range(0, len(x), size)), 12)
    assert cut.centered.tobytes() == whole.centered.tobytes()
    assert cut.uncentered.tobytes() == whole.uncentered.tobytes()
    assert (cut.energy, cut.mean_energy) == (whole.energy, whole.mean_energy)


@pytest.mark.parametrize("rows", [13, 40, 300])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_factors_of_parts_give_the_spectra_of_the_whole(rows: int, mean: float) -> None:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 12)) * 0.1 ** np.arange(12) + mean
    shift = x[:3].mean(axis=0)
    truth = spectra_of_blocks(lambda: [x], 12)
    factors = []
    for part in (x[:1], x[1:9], x[9:]):
        factors.append(Factor(13, tall=1))
        for start in range(0, len(part), 7):
            factors[-1].add(led_by_ones(part[start : start + 7], shift))
    energy = float(np.vdot(x, x))
    found = spectra_of_factors((one.whole() for one in factors), shift, rows, energy)
    assert (found.rows, found.dim, found.method) == (rows, 12, "svd")
    assert found.energy == pytest.approx(truth.energy, rel=1e-14)
    for name in ("centered", "uncentered"):
        ours, theirs = np.sqrt(getattr(found, name)), np.sqrt(getattr(truth, name))
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13 * theirs[0])
