"""Symmetric matrices to tridiagonal form and on to eigenvalues, values only, by LAPACK on the host.

LAPACK is reached through SciPy. `sytrd` with the lower triangle leaves the first basis vector alone,
which is what lets one reduction serve the centred and the uncentred spectrum (see `spectrum`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

F64 = NDArray[np.float64]


class Tridiagonal(NamedTuple):
    """A symmetric tridiagonal matrix: `diag` [k] and `off` [max(k - 1, 0)], float64."""

    diag: F64
    off: F64


def reduce_along(matrix: F64, direction: F64) -> Tridiagonal:
    """Tridiagonal form of a symmetric matrix in a basis whose first vector is along `direction`.

    One Householder reflection H takes the direction to the first axis, and `sytrd` (4k^3/3 flops)
    reduces H matrix H without touching that axis.

    Args:
        matrix: [k, k] float64 in Fortran order, lower triangle read; overwritten.
        direction: [k] of any length; zero leaves the basis as it is.
    """
    length = float(np.linalg.norm(direction))
    if length > 0:
        v = direction / length
        v[0] += np.copysign(1.0, v[0])
        v /= np.linalg.norm(v)
        w = blas.dsymv(1.0, matrix, v, lower=1)
        p = 2.0 * (w - (v @ w) * v)
        matrix = blas.dsyr2(-1.0, v, p, a=matrix, lower=1, overwrite_a=1)
    return reduce_in_place(matrix)


def reduce_in_place(matrix: F64) -> Tridiagonal:
    """Tridiagonal form of a symmetric matrix [k, k] (Fortran order, lower triangle), overwriting it.

    The basis keeps its first vector: the eigenvalues of T without its first row and column are those of
    the matrix without its own.
    """
    size = len(matrix)
    if size < 2:
        return Tridiagonal(matrix.diagonal().copy(), np.empty(0))
    lwork = int(lapack.dsytrd_lwork(size, lower=1)[0])
    _, diag, off, _, _ = lapack.dsytrd(matrix, lower=1, lwork=lwork, overwrite_a=1)
    return Tridiagonal(diag, off)


def eigenvalues(t: Tridiagonal) -> F64:
    """All eigenvalues in descending order, by QL iteration (`sterf`): absolute error ~ eps * |T|."""
    if len(t.diag) < 2:
        return t.diag.copy()
    values, info = lapack.dsterf(t.diag, t.off)
    return np.asarray(values[::-1]) if info == 0 else np.full(len(t.diag), np.nan)


def definite_eigenvalues(t: Tridiagonal) -> F64 | None:
    """All eigenvalues in descending order to high *relative* accuracy, or None.

    `pteqr` factors T = L D L' and takes the squared singular values of the bidiagonal factor by the
    dqds algorithm (Demmel and Kahan 1990; Fernando and Parlett 1994), so small values next to large
    ones keep their digits. None where T is not numerically positive definite.
    """
    if len(t.diag) < 2:
        return t.diag.copy() if (t.diag > 0).all() else None
    values, _, _, info = lapack.dpteqr(t.diag, t.off, np.empty((1, 1)), compute_z=0)
    return np.asarray(values) if info == 0 and np.isfinite(values).all() else None
