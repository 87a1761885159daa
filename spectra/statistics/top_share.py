"""Top share: the part of the energy that lies along the first principal direction."""

from __future__ import annotations

from spectra.statistics._namespace import Array, namespace


def top_share(eigenvalues: Array) -> Array:
    """l_1 / sum l of descending eigenvalues [..., K], in (0, 1]; NaN where all are zero."""
    xp = namespace(eigenvalues)
    total = eigenvalues.sum(axis=-1)
    return xp.where(total > 0, eigenvalues[..., 0] / xp.where(total > 0, total, 1), xp.nan)
