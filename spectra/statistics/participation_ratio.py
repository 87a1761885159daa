"""Participation ratio: how many equal eigenvalues would have the same sum and sum of squares."""

from __future__ import annotations

from spectra.statistics._namespace import Array, namespace


def participation_ratio(eigenvalues: Array) -> Array:
    """(sum l)^2 / sum l^2 of eigenvalues [..., K]; NaN where all are zero.

    The order-2 Renyi counterpart of `rankme`, so never above it. For an isotropic Gaussian of n
    rows in d dimensions its inverse is close to 1/n + 1/d.
    """
    xp = namespace(eigenvalues)
    # Dividing by the largest first keeps squares clear of overflow and underflow.
    top = eigenvalues[..., :1]
    scaled = eigenvalues / xp.where(top > 0, top, 1)
    squares = (scaled * scaled).sum(axis=-1)
    ratio = scaled.sum(axis=-1) ** 2 / xp.where(squares > 0, squares, 1)
    return xp.where(squares > 0, ratio, xp.nan)
