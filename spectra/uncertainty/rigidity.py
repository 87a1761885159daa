"""The standard error of alpha-ReQ, less what the jackknife counts twice.

A jackknife over-estimates a variance by the part that blocks make together (Efron and Stein 1981,
"The jackknife estimate of variance"): with T1 from single blocks, T2 from pairs and so on, it
counts T1 + 2 T2 + ..., where the variance is T1 + T2 + .... For a power law's neighbouring
eigenvalues that part is large. As they come within their own noise of one another they repel, and
the sum of c_i ln(lambda_i) that alpha is scatters far less than independent eigenvalues would.

Where ln(lambda_i) has the variance v_i to first order (2 / n for n Gaussian rows), second-order
perturbation of the eigenvalues gives

    r = T2 / T1 = sum_{i != j} G_ij^2 v_i v_j / (4 sum_i c_i^2 v_i),
    G_ij = (c_i lambda_j - c_j lambda_i) / (lambda_i - lambda_j)

(it contains the terms of order 1/n^2 in Lawley 1956, "Tests of significance for the latent roots of
covariance and correlation matrices"). Continued as a geometric series the variance is the
jackknife's divided by 1 + r. For alpha = 1 over ranks 11-100 r is 273 / n, so this matters wherever
rows are worth no more than some thousand independent ones; for rankme the like is about 1 / n, and
rankme needs none of it. `bench.coverage` has what intervals cover with it and without.

Traces that differ in their alpha are no noise of eigenvalues: only as much of the variance is
corrected as the axes would give if blocks weighed on each independently.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spectra.linalg import F64
from spectra.statistics import slope_weights


def corrected_variance(
    first_order: float, leverages: F64, ranks: tuple[int, int], alpha: float, values: int
) -> float:
    """The variance of alpha from its first-order jackknife variance.

    Args:
        first_order: k / (k - 1) times the sum over the k blocks of U_b^2.
        leverages: [k, R] each block's share of the R fitted eigenvalues.
        ranks: the first and last rank of the fit.
        alpha: as estimated; its power law stands for the spectrum.
        values: how many eigenvalues there are, min(n - 1, d).
    """
    k = len(leverages)
    deviations = leverages - leverages.mean(axis=1, keepdims=True)
    v = k / (k - 1) * (deviations**2).sum(axis=0)
    noise = float(slope_weights(*ranks) ** 2 @ v)
    if noise <= 0 or alpha <= 0:
        return first_order
    fitted, before, after = repulsion(round(alpha, 2), ranks, values)
    # Axes beyond the fitted ones are taken to scatter as the nearest fitted one.
    pairs = float(v @ fitted @ v + 2 * v[0] * (before @ v) + 2 * v[-1] * (after @ v))
    r = pairs / (4 * noise)
    return first_order - min(first_order, noise) * r / (1 + r)


@lru_cache(maxsize=4096)
def repulsion(alpha: float, ranks: tuple[int, int], values: int) -> tuple[F64, F64, F64]:
    """G_ij^2 for eigenvalues k^-alpha, k up to `values`.

    Returns:
        [R, R] for pairs of fitted ranks, and its sums [R] over the j before and after them.
    """
    first, last = ranks
    eigenvalues, c = np.arange(1.0, values + 1) ** -alpha, np.zeros(values)
    own = slice(first - 1, last)
    c[own] = slope_weights(first, last)
    gaps = eigenvalues[own, None] - eigenvalues
    gaps[gaps == 0] = np.inf
    squares = ((c[own, None] * eigenvalues - c * eigenvalues[own, None]) / gaps) ** 2
    before, after = squares[:, : first - 1].sum(axis=1), squares[:, last:].sum(axis=1)
    return squares[:, own], before, after
