"""The three LAPACK routines behind every spectrum: reduce, and two ways to the eigenvalues."""

from __future__ import annotations

import ctypes

import numpy as np

from spectra.linalg.unlocked import F64, at, integer, routine

_dsytrd = routine("dsytrd", 10)
_dsterf = routine("dsterf", 4)
_dpteqr = routine("dpteqr", 8)


def sytrd(matrix: F64) -> tuple[F64, F64]:
    """Diagonal [k] and off-diagonal [k - 1] of the tridiagonal form; `matrix` is overwritten.

    `matrix` [k, k], k >= 1, Fortran order, lower triangle read. The first basis vector stays.
    """
    size = len(matrix)
    diag, off, tau = np.empty(size), np.empty(max(size - 1, 1)), np.empty(max(size - 1, 1))

    def call(work: F64, length: int) -> None:
        _dsytrd(
            b"L", integer(size), at(matrix), integer(size), at(diag), at(off), at(tau),
            at(work), integer(length), integer(0),
        )  # fmt: skip

    best = np.empty(1)
    call(best, -1)  # asks for the best size of the workspace
    call(np.empty(int(best[0])), int(best[0]))
    return diag, off[: size - 1]


def sterf(diag: F64, off: F64) -> F64 | None:
    """Eigenvalues [k] in ascending order by QL iteration; None if it did not converge."""
    values, rest, info = diag.copy(), np.append(off, 0.0), ctypes.c_int(0)
    _dsterf(integer(len(diag)), at(values), at(rest), ctypes.byref(info))
    return values if info.value == 0 else None


def pteqr(diag: F64, off: F64) -> F64 | None:
    """Eigenvalues [k] in descending order by dqds; None if T is not positive definite."""
    size, info = len(diag), ctypes.c_int(0)
    values, rest = diag.copy(), np.append(off, 0.0)
    unused, work = np.empty(1), np.empty(4 * size)
    _dpteqr(
        b"N", integer(size), at(values), at(rest), at(unused), integer(1), at(work),
        ctypes.byref(info),
    )  # fmt: skip
    return values if info.value == 0 else None
