"""Symmetric matrices to tridiagonal form and on to eigenvalues, values only, by LAPACK on the host.

`sytrd` with the lower triangle leaves the first basis vector alone, which is what lets one
reduction serve the centred and the uncentred spectrum (see `spectrum`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas

from spectra.linalg import twostage
from spectra.linalg.lapack import pteqr, sterf, sytrd
from spectra.linalg.unlocked import F64


class Tridiagonal(NamedTuple):
    """A symmetric tridiagonal matrix: `diag` [k] and `off` [max(k - 1, 0)], float64."""

    diag: F64
    off: F64


def reduce_along(matrix: F64, direction: F64) -> Tridiagonal:
    """Tridiagonal form of a symmetric matrix in a basis whose first vector is along `direction`.

    One Householder reflection H takes the direction to the first axis, and `sytrd` (4k^3/3 flops)
    reduces H matrix H without touching that axis.

    Args:
        matrix: [k, k], k >= 1, float64 in Fortran order, lower triangle read; overwritten.
        direction: [k] of any length; zero leaves the basis as it is.
    """
    if np.linalg.norm(direction) > 0 and len(direction) > 1:
        v = reflector(direction)
        w = blas.dsymv(1.0, matrix, v, lower=1)
        p = 2.0 * (w - (v @ w) * v)
        matrix = blas.dsyr2(-1.0, v, p, a=matrix, lower=1, overwrite_a=1)
    return reduce_in_place(matrix)


def reflector(direction: F64) -> F64:
    """The unit vector v [k] for which I - 2vv' takes a direction that is not zero to axis 1."""
    v = direction / np.linalg.norm(direction)
    v[0] += np.copysign(1.0, v[0])
    return np.asarray(v / np.linalg.norm(v))


def reduce_in_place(matrix: F64) -> Tridiagonal:
    """Tridiagonal form of a symmetric matrix [k, k] in Fortran order, overwriting it.

    The basis keeps its first vector: the eigenvalues of T without its first row and column are
    those of the matrix without its own.
    """
    reduce = twostage.two_stage if _in_two_stages(len(matrix)) else sytrd
    return Tridiagonal(*reduce(matrix))


def reduction_routine(order: int) -> str:
    """What `reduce_in_place` calls for matrices of this order."""
    return "sytrd_sy2sb and sytrd_sb2st" if _in_two_stages(order) else "sytrd"


def _in_two_stages(order: int) -> bool:
    return order >= twostage.LEAST_ORDER and twostage.available()


def eigenvalues(t: Tridiagonal) -> F64:
    """All eigenvalues, descending, by QL iteration: absolute error ~ eps * |T|; NaN on failure."""
    if not (np.isfinite(t.diag).all() and np.isfinite(t.off).all()):
        return np.full(len(t.diag), np.nan)  # sterf itself answers NaN with zeros
    values = sterf(t.diag, t.off) if len(t.diag) else t.diag
    return np.full(len(t.diag), np.nan) if values is None else values[::-1]


def definite_eigenvalues(t: Tridiagonal) -> F64 | None:
    """All eigenvalues in descending order to high *relative* accuracy, or None.

    `pteqr` factors T = L D L' and takes the squared singular values of the bidiagonal factor by
    the dqds algorithm (Fernando and Parlett 1994), so small values next to large ones keep their
    digits. None where T is not numerically positive definite.
    """
    values = pteqr(t.diag, t.off) if len(t.diag) else t.diag
    return values if values is not None and np.isfinite(values).all() else None
