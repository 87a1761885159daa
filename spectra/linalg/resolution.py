"""How far rounding in a Gram matrix can move the statistics of its spectrum.

A Gram matrix squares singular values: below about 1e-7 of the largest they drown in rounding. Given
the size of that rounding, first-order perturbation says how much each statistic can be off, and the
engine takes the singular values of the rows themselves where that is too much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..metrics import slope_weights

EPS = float(np.finfo(np.float64).eps)

ROUNDING = 4.0
"""Eigenvalue error of accumulating and reducing a Gram matrix, in units of eps * its largest eigenvalue.
Measured over spectra of condition 1 to 1e12, n/d from 1 to 400 (tests/test_resolution.py): at most 2.1."""

TOLERABLE = 2e-10
"""Largest estimated error of a statistic that a Gram-route spectrum may carry: a fifth of the bar of 1e-9."""


def statistic_error(
    eigenvalues: NDArray[np.float64], noise: float, alpha_ranks: tuple[int, int]
) -> float:
    """First-order bound on the error of ln rankme, ln rankme_sigma and relative alpha.

    Args:
        eigenvalues: [K] descending, computed; values below `noise` carry no information.
        noise: absolute error of each eigenvalue.
        alpha_ranks: first and last rank of the power-law fit.

    For p = w / sum(w) with errors dw: |d entropy| <= sum |ln p + H| dw / sum(w). For a singular value
    s = sqrt(l): ds = min(noise / 2s, sqrt(noise)).
    """
    if len(eigenvalues) == 0 or noise <= 0 or eigenvalues[0] <= 0:
        return 0.0
    values = np.maximum(eigenvalues, noise)
    sigma = np.sqrt(values)
    errors = [
        _entropy_error(values, np.full_like(values, noise)),
        _entropy_error(sigma, np.minimum(noise / (2 * sigma), np.sqrt(noise))),
    ]
    first, last = alpha_ranks
    if len(values) >= last:
        weights, fitted = slope_weights(first, last), values[first - 1 : last]
        slope = float(abs(weights @ np.log(fitted)))
        errors.append(float(np.abs(weights) @ (noise / fitted)) / max(slope, 0.1))
    return max(errors)


def _entropy_error(weights: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    total = weights.sum()
    logs = np.log(weights / total)
    entropy = -(weights * logs).sum() / total
    return float((np.abs(logs + entropy) * errors).sum() / total)
