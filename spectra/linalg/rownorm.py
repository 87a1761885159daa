"""Rows centred by a mean and scaled to length 1, for the conventions that normalise rows."""

from __future__ import annotations

import numpy as np

from spectra.linalg.resolution import EPS
from spectra.linalg.unlocked import F64


def normalised_rows(rows: F64, mean: F64, count: int) -> F64:
    """(x - mean) / |x - mean| for rows [m, d] of a group of `count` rows; zero rows stay zero.

    A difference within the rounding of the mean, count * eps * |mean|, is zero.
    """
    z = rows - mean
    lengths = np.linalg.norm(z, axis=1)
    zero = lengths <= count * EPS * float(np.linalg.norm(mean))
    z /= np.where(zero, 1.0, lengths)[:, None]
    z[zero] = 0.0
    return np.asarray(z)
