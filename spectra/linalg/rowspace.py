"""The slow, sure route: singular values of the rows, for what a Gram matrix cannot resolve.

Rows come in blocks and are folded into a triangular factor by QR (TSQR), so memory stays at a few
d x d matrices whatever the number of rows. Errors are relative to the largest singular value, not
to its square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from spectra.linalg.spectrum import Spectra, zero_cut
from spectra.linalg.unlocked import F64

Blocks = Callable[[], Iterable[F64]]
"""Gives a group's rows as float64 blocks [m, d], anew and in the same order at every call."""


def spectra_of_blocks(blocks: Blocks, dim: int) -> Spectra:
    """Spectra of the stacked blocks by QR and SVD; two passes over the blocks."""
    rows, total, energy = 0, np.zeros(dim), 0.0
    for block in blocks():
        rows += len(block)
        total += block.sum(axis=0)
        energy += float(np.vdot(block, block))
    mean = total / rows
    factor = triangular_factor((block - mean for block in blocks()), dim)
    sigma = singular_values(factor)[: min(rows - 1, dim)] if rows > 1 else np.empty(0)
    raw = singular_values(np.vstack([factor, np.sqrt(rows) * mean]))[: min(rows, dim)]
    cut = zero_cut(rows, dim, energy)
    centered, uncentered = (np.where(s * s > cut, s * s, 0.0) for s in (sigma, raw))
    mean_energy = rows * float(mean @ mean)
    return Spectra(rows, dim, centered, uncentered, centered, energy, mean_energy, "svd")


def triangular_factor(blocks: Iterable[F64], dim: int) -> F64:
    """R [at most dim, dim] with R'R = sum of block'block, by QR of blocks under the factor."""
    factor = np.empty((0, dim))
    pending: list[F64] = []
    waiting = 0
    for block in blocks:
        pending.append(block)
        waiting += len(block)
        # A tall panel amortises re-reducing the factor: 4 d rows make that a fifth of the work.
        if waiting >= 4 * dim:
            factor, pending, waiting = _fold(factor, pending), [], 0
    return _fold(factor, pending) if pending else factor


def _fold(factor: F64, blocks: list[F64]) -> F64:
    stacked = np.vstack([factor, *blocks])
    if len(stacked) <= stacked.shape[1]:
        return stacked
    return np.asarray(np.linalg.qr(stacked, mode="r"))


def singular_values(matrix: F64) -> F64:
    """All singular values in descending order."""
    return np.asarray(np.linalg.svd(matrix, compute_uv=False))
