"""alpha-ReQ: the power-law exponent of an eigenspectrum.

Agrawal et al. 2022, "alpha-ReQ: Assessing representation quality in self-supervised learning by
measuring eigenspectrum decay" (NeurIPS): eigenvalue_k ~ k^-alpha, fitted on a range of ranks by
least squares in logarithms with weights 1/k, as the authors' code and reptrix do.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.statistics._namespace import Array, along_last, namespace

FLAT = 1e-12
"""Spread (rms) of ln(eigenvalue) below which R^2 is 0/0: float64 rounding, not structure."""


def slope_weights(first: int, last: int) -> NDArray[np.float64]:
    """The c [last - first + 1] of alpha = sum(c * ln(eigenvalue)), minus the weighted slope.

    With w = 1/k, t = ln k and tbar = sum(w t) / sum(w): c = -w (t - tbar) / sum(w (t - tbar)^2).
    """
    ranks = np.arange(first, last + 1, dtype=np.float64)
    weight, t = 1 / ranks, np.log(ranks)
    t = t - (weight * t).sum() / weight.sum()
    return np.asarray(-weight * t / (weight * t * t).sum())


def alpha_req(eigenvalues: Array, first: int, last: int) -> tuple[Array, Array]:
    """The exponent alpha and its R^2 on exactly the fitted ranks.

    Args:
        eigenvalues: [..., K] in descending order (of singular values, pass the squares).
        first, last: ranks of the fit, 1-based, inclusive.

    Returns:
        alpha [...] and R^2 [...] = 1 - SS_residual / SS_total of ln(eigenvalue), unweighted. Both
        are NaN where K or the number of positive eigenvalues is below `last`; R^2 also for a flat
        spectrum. A high R^2 is no proof of a power law.
    """
    xp = namespace(eigenvalues)
    if eigenvalues.shape[-1] < last:
        nothing = xp.full(eigenvalues.shape[:-1], xp.nan, dtype=eigenvalues.dtype)
        return nothing, nothing
    fitted = eigenvalues[..., first - 1 : last]
    usable = fitted[..., -1] > 0
    logs = xp.log(xp.where(usable[..., None], fitted, 1))
    slope, t, weight = (along_last(one, logs) for one in _of_ranks(first, last))
    alpha = (logs * slope).sum(axis=-1)
    total = _of_ranks(first, last).weight.sum()
    intercept = ((logs + alpha[..., None] * t) * weight).sum(axis=-1) / total
    residual = ((logs - intercept[..., None] + alpha[..., None] * t) ** 2).mean(axis=-1)
    spread = ((logs - logs.mean(axis=-1, keepdims=True)) ** 2).mean(axis=-1)
    flat = spread < FLAT**2
    r2 = 1 - residual / xp.where(flat, 1, spread)
    return xp.where(usable, alpha, xp.nan), xp.where(usable & ~flat, r2, xp.nan)


class _OfRanks(NamedTuple):
    """What a fit on these ranks takes: the slope's weights, ln k and 1 / k."""

    slope: NDArray[np.float64]
    log: NDArray[np.float64]
    weight: NDArray[np.float64]


@cache  # A run fits the same few ranges thousands of times.
def _of_ranks(first: int, last: int) -> _OfRanks:
    ranks = np.arange(first, last + 1, dtype=np.float64)
    found = _OfRanks(slope_weights(first, last), np.log(ranks), 1 / ranks)
    for one in found:
        one.setflags(write=False)
    return found
