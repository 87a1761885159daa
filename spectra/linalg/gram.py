"""Gram matrices by BLAS: y'y added in panels that run side by side, yy' put in place."""

from __future__ import annotations

import ctypes
from concurrent.futures import Executor

from spectra.linalg.unlocked import F64, at, integer, routine

_dsyrk = routine("dsyrk", 10)
_dgemm = routine("dgemm", 13)

PANEL = 256


def add_gram(gram: F64, y: F64, threads: Executor) -> None:
    """Add y'y to the lower triangle of gram, in place.

    A panel of columns is one triangle (`syrk`) and the rectangle below it (`gemm`), so nothing is
    computed twice, and panels share no output.

    Args:
        gram: [d, d] float64 in Fortran order.
        y: [m, d] float64 in C order.
        threads: runs the panels; BLAS itself should be limited to one thread.
    """
    dim = len(gram)
    width = max(PANEL, -(-dim // 16))
    # Leading panels are the tallest: they go first, so that the last to finish is a small one.
    list(threads.map(lambda start: _add_panel(gram, y, start, width), range(0, dim, width)))


def _add_panel(gram: F64, y: F64, start: int, width: int) -> None:
    dim, rows = len(gram), len(y)
    stop = min(start + width, dim)
    one = ctypes.byref(ctypes.c_double(1.0))
    _dsyrk(
        b"L", b"N", integer(stop - start), integer(rows), one, at(y, start), integer(dim), one,
        at(gram, start * dim + start), integer(dim),
    )  # fmt: skip
    if stop < dim:
        _dgemm(
            b"N", b"T", integer(dim - stop), integer(stop - start), integer(rows), one,
            at(y, stop), integer(dim), at(y, start), integer(dim), one,
            at(gram, start * dim + stop), integer(dim),
        )  # fmt: skip


def put_row_gram(gram: F64, start: int, y: F64) -> None:
    """Put yy' in the lower triangle of gram[start:, start:].

    Args:
        gram: [k, k] float64 in Fortran order.
        start: k - m, 0 or more.
        y: [m, d] float64 in C order.
    """
    rows, dim = y.shape
    if rows == 0:
        return
    one, zero = (ctypes.byref(ctypes.c_double(value)) for value in (1.0, 0.0))
    _dsyrk(
        b"L", b"T", integer(rows), integer(dim), one, at(y), integer(dim), zero,
        at(gram, start * (len(gram) + 1)), integer(len(gram)),
    )  # fmt: skip
