"""Stable rank: the squared Frobenius norm over the squared spectral norm."""

from __future__ import annotations

from spectra.statistics._namespace import Array, namespace


def stable_rank(eigenvalues: Array) -> Array:
    """sum l / l_1 of descending eigenvalues [..., K]; NaN where all are zero.

    The same number as NESum (He and Ozay 2022) of the covariance, and the smallest of the rank
    statistics: 1 <= stable rank <= participation ratio <= rankme <= rankme_sigma <= ceiling.
    """
    xp = namespace(eigenvalues)
    top = eigenvalues[..., 0]
    return xp.where(top > 0, eigenvalues.sum(axis=-1) / xp.where(top > 0, top, 1), xp.nan)
