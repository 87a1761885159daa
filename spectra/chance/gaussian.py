"""Spectra of Gaussian rows of a given covariance, without drawing the rows.

A Wishart matrix of n - 1 degrees of freedom is T A A' T' with T the covariance's root and A lower
triangular, independent: A_ii^2 chi-squared with n - i degrees, normal below (Bartlett 1933). Its
eigenvalues do not change with a rotation, so T is diagonal: d^2 numbers stand for n d.
"""

from __future__ import annotations

import numpy as np

from spectra.linalg import F64, eigenvalues, reduce_in_place


def gaussian_spectrum(variances: F64, degrees: int, rng: np.random.Generator) -> F64:
    """Squared singular values [min(m, d)], descending, of m rows of mean 0, or m + 1 centred ones.

    Args:
        variances: [d] eigenvalues of the rows' covariance, in any order; zeros allowed.
        degrees: m, one or more.
        rng: the source of chance.
    """
    dim = len(variances)
    if degrees < dim:
        factor = rng.standard_normal((degrees, dim)) * np.sqrt(variances)
    else:
        lower = np.tril(rng.standard_normal((dim, dim)), -1)
        np.fill_diagonal(lower, np.sqrt(rng.chisquare(degrees - np.arange(dim))))
        factor = np.sqrt(variances)[:, None] * lower
    product = np.asfortranarray(factor @ factor.T)
    return np.maximum(eigenvalues(reduce_in_place(product)), 0.0)
