"""Rows of known conditioning, rounded to bfloat16 as stored states are."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

SPECTRA = {
    "isotropic": "independent N(0, 1) entries",
    "power_law": "covariance eigenvalues 1/k in a random basis, mean 1",
    "large_mean": "power_law plus a mean of 50 or -50 in each dimension, about 50 deviations",
    "steep": "standard deviations of the dimensions from 1 down to 1e-6, geometric, shuffled",
}
"""Name and description of each population. Rounding adds noise of 2^-9 of each entry: in a random
basis it would fill a steep tail, so that one stays along the axes."""


def make_rows(spectrum: str, rows: int, dim: int) -> NDArray[Any]:
    """A sample [rows, dim] of a population in bfloat16, the same at every call."""
    rng = np.random.default_rng([list(SPECTRA).index(spectrum), rows, dim])
    z = rng.standard_normal((rows, dim))
    if spectrum == "steep":
        z *= rng.permutation(np.geomspace(1.0, 1e-6, dim))
    elif spectrum != "isotropic":
        eigenvalues = 1.0 / np.arange(1, dim + 1)
        z = (z * np.sqrt(eigenvalues / eigenvalues.mean())) @ rotation(dim)
    if spectrum == "large_mean":
        z += rng.choice([-50.0, 50.0], dim)
    return z.astype(ml_dtypes.bfloat16)


@cache
def rotation(dim: int) -> NDArray[np.float64]:
    """An orthogonal matrix [dim, dim]."""
    return np.linalg.qr(np.random.default_rng(dim).standard_normal((dim, dim)))[0]
