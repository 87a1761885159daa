"""Principal axes of a group, and how much of a statistic each of its rows carries.

If traces had weights w_t (all 1), the scatter S(w) = sum_t w_t sum_{i in t} (x_i - m)(x_i - m)'
would have eigenvalues with the derivatives

    d lambda_k / d w_t = sum_{i in t} (v_k . (x_i - m))^2

at w = 1, v_k being the axes; that the mean m moves with the weights has no effect of first order.
So a statistic theta with derivatives g_k = d theta / d lambda_k has d theta / d w_t = the sum, over
the rows of the trace, of sum_k g_k lambda_k h_ik, where h_ik = (v_k . (x_i - m))^2 / lambda_k is
the row's leverage on axis k; over all rows leverages sum to 1. Without centring m is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.linalg.lapack import syevd
from spectra.linalg.resolution import EPS
from spectra.linalg.unlocked import F64

WeightsOf = Callable[[F64, int], F64]
"""What M sums count a leverage on each axis for, [M, K], at eigenvalues [K] (descending) of n rows.

For a statistic that is g_k lambda_k; 1 on one axis and 0 on the others gives that axis's own."""


class Axes(NamedTuple):
    """What turns rows [n, d] into what they carry of M sums.

    Attributes:
        origin: [d] what is subtracted from rows: their mean, or zeros.
        vectors: [d, d] the axes in columns, each divided by the root of its eigenvalue, or zero.
        weights: [M, d] of leverages.
    """

    origin: F64
    vectors: Any
    weights: F64


def scales_and_weights(
    ascending: F64, rows: int, weights_of: WeightsOf, eps: float = EPS
) -> tuple[F64, F64]:
    """1 / sqrt(lambda) [K] and the weights [M, K] of ascending eigenvalues [K] of n rows.

    Both are zero where an eigenvalue is rounding of the size `eps`, and weights are NaN where not
    all eigenvalues are finite.
    """
    if not np.isfinite(ascending).all():
        weights = weights_of(np.zeros_like(ascending), rows)
        return np.zeros_like(ascending), np.full_like(weights, np.nan)
    cut = max(len(ascending), rows) * eps * max(float(ascending[-1]), 0.0)
    values = np.where(ascending > cut, ascending, 0.0)
    scales = np.where(values > 0, 1 / np.sqrt(np.where(values > 0, values, 1.0)), 0.0)
    return scales, weights_of(values[::-1], rows)[:, ::-1] * (values > 0)


def axes(scatter: F64, rows: int, origin: F64, weights_of: WeightsOf) -> Axes:
    """The axes of a scatter matrix [d, d] of n rows around `origin`; overwrites it.

    The matrix is in Fortran order and its lower triangle is read.
    """
    ascending, vectors = _eigen(scatter)
    scales, weights = scales_and_weights(ascending, rows, weights_of)
    vectors *= scales
    return Axes(origin, vectors, weights)


def _eigen(matrix: F64) -> tuple[F64, F64]:
    """Eigenvalues, NaN where they are not found, and eigenvectors; overwrites the matrix."""
    try:
        return syevd(matrix)
    except np.linalg.LinAlgError:
        return np.full(len(matrix), np.nan), np.zeros_like(matrix)


def carried(rows: F64, of: Axes) -> F64:
    """[n, M] what each row [n, d] carries of each sum."""
    leverage = (rows - of.origin) @ of.vectors
    np.square(leverage, out=leverage)
    return np.asarray(leverage @ of.weights.T)


def carried_by_few(rows: NDArray[np.generic], centered: bool, weights_of: WeightsOf) -> F64:
    """The same for a group that is just these rows [n, d], n <= d, by their n x n products.

    With XX' = U diag(lambda) U' the leverages are u_ik^2.
    """
    z = rows.astype(np.float64)
    if centered:
        z -= z.mean(axis=0)
    ascending, vectors = _eigen(np.asfortranarray(z @ z.T))
    _, weights = scales_and_weights(ascending, len(z), weights_of)
    return np.asarray(np.square(vectors) @ weights.T)
