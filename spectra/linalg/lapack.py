"""The LAPACK routines behind every spectrum: reduce a matrix, and go on to its values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from spectra.linalg.unlocked import F64, at, integer, routine

_dsytrd = routine("dsytrd", 10)
_dsterf = routine("dsterf", 4)
_dpteqr = routine("dpteqr", 8)
_dgeqrf = routine("dgeqrf", 8)
_dgebrd = routine("dgebrd", 11)
_dlasq1 = routine("dlasq1", 5)
_dsyevd = routine("dsyevd", 11)


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

    _with_workspace(call)
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


def geqrf(matrix: F64) -> F64:
    """The triangular factor R [min(m, k), k] of a QR; `matrix` is overwritten.

    `matrix` [m, k], both 1 or more, Fortran order.
    """
    rows, columns = matrix.shape
    tau = np.empty(min(rows, columns))

    def call(work: F64, length: int) -> None:
        _dgeqrf(
            integer(rows), integer(columns), at(matrix), integer(rows), at(tau), at(work),
            integer(length), integer(0),
        )  # fmt: skip

    _with_workspace(call)
    return np.triu(matrix[:columns])


def gebrd(matrix: F64) -> tuple[F64, F64]:
    """Diagonal [k] and superdiagonal [k - 1] of the bidiagonal form; `matrix` is overwritten.

    `matrix` [k, k], k >= 1, Fortran order. The first basis vector of the rows stays.
    """
    size = len(matrix)
    diag, off, left, right = (np.empty(size) for _ in range(4))

    def call(work: F64, length: int) -> None:
        _dgebrd(
            integer(size), integer(size), at(matrix), integer(size), at(diag), at(off), at(left),
            at(right), at(work), integer(length), integer(0),
        )  # fmt: skip

    _with_workspace(call)
    return diag, off[: size - 1]


def lasq1(diag: F64, off: F64) -> F64:
    """Singular values [k] of an upper bidiagonal, descending, by dqds.

    Raises:
        numpy.linalg.LinAlgError: it did not converge, or there are NaN or infinity.
    """
    size, info = len(diag), ctypes.c_int(0)
    values, rest, work = diag.copy(), np.append(off, 0.0), np.empty(4 * size)
    _dlasq1(integer(size), at(values), at(rest), at(work), ctypes.byref(info))
    if info.value != 0 or not np.isfinite(values).all():
        raise np.linalg.LinAlgError(f"singular values of order {size}: lasq1 failed")
    return values


def syevd(matrix: F64) -> tuple[F64, F64]:
    """Eigenvalues [k], ascending, and eigenvectors [k, k] in columns; `matrix` is overwritten.

    `matrix` [k, k], k >= 1, Fortran order, lower triangle read. Divide and conquer.

    Raises:
        numpy.linalg.LinAlgError: it did not converge.
    """
    size, info = len(matrix), ctypes.c_int(0)
    values, integers = np.empty(size), np.empty(3 + 5 * size, np.int32)

    def call(work: F64, length: int) -> None:
        _dsyevd(
            b"V", b"L", integer(size), at(matrix), integer(size), at(values), at(work),
            integer(length), at(integers), integer(len(integers)), ctypes.byref(info),
        )  # fmt: skip

    _with_workspace(call)
    if info.value != 0:
        raise np.linalg.LinAlgError(f"eigenvectors of order {size}: syevd failed")
    return values, matrix


def _with_workspace(call: Callable[[F64, int], None]) -> None:
    """Call a routine with the workspace that it asks for."""
    best = np.empty(1)
    call(best, -1)
    call(np.empty(int(best[0])), int(best[0]))
