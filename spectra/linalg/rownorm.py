"""Rows centred by a mean and scaled to length 1, for the conventions that normalise rows."""

from __future__ import annotations

import numpy as np

from spectra.linalg.resolution import EPS
from spectra.linalg.unlocked import F64


def normalised_rows(rows: F64, mean: F64, zero: float) -> F64:
    """(x - mean) / |x - mean| for rows [m, d]; a difference no longer than `zero` becomes zero."""
    z = rows - mean
    lengths = np.linalg.norm(z, axis=1)
    nothing = lengths <= zero
    z /= np.where(nothing, 1.0, lengths)[:, None]
    z[nothing] = 0.0
    return np.asarray(z)


def zero_length(rows: int, dim: int, energy: float) -> float:
    """The length up to which a centred row is rounding: max(n, d) * eps * |X|_F."""
    return float(max(rows, dim) * EPS * np.sqrt(energy))
