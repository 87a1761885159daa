"""How far each way's spectra are from the truth: NumPy's float64 SVDs of the same rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench._timing import figure
from spectra.reference import EPS64, effective_rank

Spectra = dict[str, NDArray[np.float64]]
"""Route to singular values [K], descending; the covariance's are sqrt((n - 1) λ), 0 for λ < 0."""


def truth(by_svd: Spectra) -> Spectra:
    """The true spectra from those of NumPy's float64 way: its SVD stands for its `eigvalsh` too."""
    return by_svd | {"cov_centered": by_svd["svd_centered"]}


def ranks(found: Spectra) -> dict[str, float]:
    """The effective rank by each route: of eigenvalues by the covariance, else singular values."""
    return {
        route: effective_rank(values**2 if route == "cov_centered" else values)
        for route, values in found.items()
    }


def zero_cut(true: Spectra, shape: tuple[int, int]) -> float:
    """The singular value up to which a value is rounding: max(n, d) eps64 |X|_F."""
    return max(shape) * EPS64 * float(np.linalg.norm(true["svd_uncentered"]))


def conditions(true: Spectra, cut: float) -> dict[str, float]:
    """Largest over smallest singular value above the cut, by route: the sample's, not infinite."""
    return {route: figure(values[0] / values[values > cut][-1]) for route, values in true.items()}


def rank_errors(found: Spectra, true: Spectra) -> dict[str, float]:
    """Relative error of each route's effective rank."""
    expected = ranks(true)
    return {route: figure(abs(rank / expected[route] - 1)) for route, rank in ranks(found).items()}


def value_errors(found: Spectra, true: Spectra, cut: float) -> dict[str, float]:
    """Largest relative error of a route's singular values, over the true ones above the cut.

    In exact arithmetic the cut removes nothing but zeros. Rounding of size eps moves the smallest
    by eps κ by an SVD and by eps κ^2 by way of the covariance; 1 and above is nothing left of it.
    """
    return {
        route: figure(float(np.abs(found[route][real] / values[real] - 1).max()))
        for route, values in true.items()
        for real in [values > cut]
    }
