"""Effective rank: the exponential of the entropy of a normalised spectrum.

Two statistics go by the name RankMe, and they differ by far (for eigenvalues 1/i at d = 1024: 182
against 805):

- `rankme`: p proportional to the eigenvalues (Li et al. 2025, arXiv:2509.23024; reptrix).
- `rankme_sigma`: p proportional to the singular values (Roy and Vetterli 2007; Garrido et al. 2023,
  arXiv:2210.02885, Eq. 1, with its constant outside the division).
"""

from __future__ import annotations

from spectra.statistics._namespace import Array, exists, namespace


def effective_rank(weights: Array, epsilon: float = 0.0, count: Array | None = None) -> Array:
    """exp(-sum p ln p) with p = w / sum(w) + epsilon and 0 ln 0 = 0.

    Args:
        weights: [..., K] non-negative values, zero-padded; scale does not matter.
        epsilon: added to each p after the division, unnormalised, as in Garrido et al., Eq. 1.
        count: [...] how many of the K values exist, the rest being padding; None for all. It
            matters only with an epsilon, which gives existing zeros a weight.

    Returns:
        [...] in the dtype of `weights`; NaN where all weights are zero.
    """
    xp = namespace(weights)
    total = weights.sum(axis=-1, keepdims=True)
    p = weights / xp.where(total > 0, total, 1) + epsilon
    if epsilon and count is not None:
        p = xp.where(exists(count, weights), p, 0.0)
    entropy = -(p * xp.log(xp.where(p > 0, p, 1))).sum(axis=-1)
    return xp.where(total[..., 0] > 0, xp.exp(entropy), xp.nan)


def rankme(eigenvalues: Array, epsilon: float = 0.0, count: Array | None = None) -> Array:
    """Effective rank with p proportional to the eigenvalues [..., K] of a covariance or scatter."""
    return effective_rank(eigenvalues, epsilon, count)


def rankme_sigma(eigenvalues: Array, epsilon: float = 0.0, count: Array | None = None) -> Array:
    """Effective rank with p proportional to singular values, the roots of eigenvalues [..., K]."""
    return effective_rank(namespace(eigenvalues).sqrt(eigenvalues), epsilon, count)
