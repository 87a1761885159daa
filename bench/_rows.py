"""Rows of known conditioning, rounded to bfloat16 as stored states are."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

CONDITIONS = {f"condition_1e{power}": 10.0**power for power in (0, 3, 5, 7)}
"""Name of a population and its condition number: the largest over the smallest standard deviation
of its dimensions. A sample's own, over its singular values, is another; the bench records it."""

LARGE_ROWS = 8

SPECTRA = {
    name: f"mean 0, standard deviations of the dimensions from 1 down to {1 / condition:g}"
    for name, condition in CONDITIONS.items()
} | {
    "large_mean": "covariance eigenvalues 1/k in a random basis, mean 1, plus a mean of 50 or -50 "
    "in each dimension, about 50 deviations",
    "large_rows": f"independent N(0, 1) entries, {LARGE_ROWS} of the rows 1000 times as large",
}
"""Name and description of each population. The deviations of the first ones are geometric, along
shuffled axes: rounding adds noise of 2^-9 of each entry, which in a random basis would fill a steep
tail. Axes flatter the product Z'Z, each of whose entries is then right relative to its own size;
in `large_rows` the large directions lie across the axes, and its rounding hides the small ones.
States of language models have such means, and such rows: first tokens, delimiters."""


def make_rows(spectrum: str, rows: int, dim: int) -> NDArray[Any]:
    """A sample [rows, dim] of a population in bfloat16, the same at every call."""
    rng = np.random.default_rng([list(SPECTRA).index(spectrum), rows, dim])
    z = rng.standard_normal((rows, dim))
    if spectrum in CONDITIONS:
        z *= rng.permutation(np.geomspace(1.0, 1.0 / CONDITIONS[spectrum], dim))
    elif spectrum == "large_mean":
        eigenvalues = 1.0 / np.arange(1, dim + 1)
        z = (z * np.sqrt(eigenvalues / eigenvalues.mean())) @ rotation(dim)
        z += rng.choice([-50.0, 50.0], dim)
    else:
        z[:LARGE_ROWS] *= 1000.0
    return z.astype(ml_dtypes.bfloat16)


@cache
def rotation(dim: int) -> NDArray[np.float64]:
    """An orthogonal matrix [dim, dim]."""
    return np.linalg.qr(np.random.default_rng(dim).standard_normal((dim, dim)))[0]
