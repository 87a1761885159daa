"""How far rounding in a Gram matrix can move the statistics of its spectrum.

A Gram matrix squares singular values: below about 1e-7 of the largest they drown in rounding. Given
the size of that rounding, first-order perturbation says how much each statistic can be off, and the
engine takes the singular values of the rows themselves where that is too much.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spectra.statistics import Array, along_last, exists, namespace, slope_weights

EPS = float(np.finfo(np.float64).eps)

ROUNDING = 2.0
"""Error of the small eigenvalues of a Gram matrix, in units of eps * its largest eigenvalue.

Measured against SVDs of the rows, d = 60 to 300, n = 0.7 d to 8 d, power-law, geometric and
two-level spectra down to 1e-10 of the largest eigenvalue: with 1, the error of a statistic reached
at most 0.66 of the bound below. The large eigenvalues are off by more (up to 65, and in
flat spectra with a large mean up to 4,900, which is 1e-12 of themselves), and move nothing.
"""

TOLERABLE = 5e-10
"""Largest estimated error that a Gram-route spectrum may carry: half of the bar of 1e-9."""


class Accuracy(NamedTuple):
    """What a way of computing answers for.

    Attributes:
        rounding: error of the small eigenvalues of its Gram matrices, over the largest one.
        tolerable: largest estimated error that a spectrum from them may carry.
    """

    rounding: float
    tolerable: float


EXACT = Accuracy(ROUNDING * EPS, TOLERABLE)
"""Float64 throughout."""

FAST = Accuracy(2.0 * float(np.finfo(np.float32).eps), 5e-4)
"""Float32 products over blocks of 256 rows, and a float32 reduction; the bar is 1e-3.

Measured against SVDs of the rows on JAX's CPU client, and with float32 products that add one row
after the other, which no device does worse: d = 60, 128, 300, n = 0.7 d to 40 d, power-law,
geometric and two-level spectra down to 1e-7 of the largest eigenvalue, in random and in the
coordinates' directions, means up to 100 times a coordinate's deviation. With 1, the small
eigenvalues were off by up to 3.3 units, and a statistic by up to 1.5 times a bound below 5e-2; with
2, the spectra that pass as tolerable had statistics off by at most 1.4e-4.
"""


def statistic_error(
    eigenvalues: Array, count: Array, noise: Array, alpha_ranks: tuple[int, int]
) -> Array:
    """First-order bound on the errors of ln rankme, ln rankme_sigma and relative alpha; traceable.

    For p = w / sum(w) with errors dw, |d entropy| <= sum |ln p + H| dw / sum(w). For a singular
    value s = sqrt(l), ds = min(noise / 2s, sqrt(noise)).

    Args:
        eigenvalues: [..., K] descending, as computed; values below `noise` carry no information.
        count: [...] how many of them exist, the rest being padding.
        noise: [...] absolute error of each eigenvalue.
        alpha_ranks: first and last rank of the power-law fit.

    Returns:
        [...] the largest of the three bounds; 0 where there is no noise or no spectrum.
    """
    xp = namespace(eigenvalues)
    noise = xp.asarray(noise)[..., None]
    real = exists(count, eigenvalues)
    # Without noise any floor serves: every error below is then zero times something.
    floor = xp.where(noise > 0, noise, 1.0)
    values = xp.where(real, xp.maximum(eigenvalues, floor), 0.0)
    sigma = xp.sqrt(values)
    sigma_error = xp.minimum(noise / (2 * xp.where(real, sigma, 1.0)), xp.sqrt(noise))
    error = xp.maximum(
        _entropy_error(values, real, xp.broadcast_to(noise, values.shape)),
        _entropy_error(sigma, real, sigma_error),
    )
    first, last = alpha_ranks
    if eigenvalues.shape[-1] >= last:
        fitted = xp.where(real, values, 1.0)[..., first - 1 : last]
        weights = along_last(slope_weights(first, last), fitted)
        slope = xp.abs((weights * xp.log(fitted)).sum(axis=-1))
        moved = (xp.abs(weights) * noise / fitted).sum(axis=-1) / xp.maximum(slope, 0.1)
        error = xp.maximum(error, xp.where(real[..., last - 1], moved, 0.0))
    return error


def _entropy_error(weights: Array, real: Array, errors: Array) -> Array:
    xp = namespace(weights)
    total = weights.sum(axis=-1, keepdims=True)
    total = xp.where(total > 0, total, 1.0)
    logs = xp.where(real, xp.log(xp.where(real, weights, 1.0) / total), 0.0)
    entropy = -(weights * logs).sum(axis=-1, keepdims=True) / total
    moved = xp.where(real, xp.abs(logs + entropy) * errors, 0.0)
    return moved.sum(axis=-1) / total[..., 0]
