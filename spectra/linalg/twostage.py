"""Tridiagonal form of large symmetric matrices in two stages: to a band by products, then on.

`sytrd` spends half of its operations in matrix-vector products, which wait for memory. LAPACK's
two-stage reduction (Haidar, Ltaief and Dongarra 2011, doi:10.1145/2063384.2063394) gets to a band
by matrix products and chases the band away in a cache. Both stages leave the first basis vector
alone, as `sytrd` does with the lower triangle.

SciPy publishes no address of these routines. They are in the library that it links, where its
wheels and most other builds export them; where they are not found, `sytrd` serves all orders.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import cython_lapack

from spectra.linalg.unlocked import F64, at, integer

BAND = 32

LEAST_ORDER = 1280
"""Order from which two stages are faster, one matrix a core: on two cores a matrix of order 1024
took 42 ms by `sytrd` and 41 to 46 in two stages, one of 2048 took 305 to 320 and 220 to 260."""

_ONE_CHARACTER = ctypes.c_size_t(1)
"""Fortran compilers pass the length of each text argument after all others."""


@cache
def available() -> bool:
    """Whether the linked LAPACK exports both stages."""
    return None not in (_stage("sy2sb"), _stage("sb2st"))


def two_stage(matrix: F64) -> tuple[F64, F64]:
    """Diagonal [k] and off-diagonal [k - 1] of the tridiagonal form; `matrix` is overwritten.

    `matrix` [k, k], k > `BAND`, Fortran order, lower triangle read. The first basis vector stays.
    Only where `available`.
    """
    to_band, to_tridiagonal = _stage("sy2sb"), _stage("sb2st")
    assert to_band is not None, "this LAPACK has no two stages"
    assert to_tridiagonal is not None, "this LAPACK has no second stage"
    size, info = len(matrix), ctypes.c_int(0)
    order, width, rows = integer(size), integer(BAND), integer(BAND + 1)
    band, tau = np.zeros((BAND + 1, size), order="F"), np.empty(size)

    def first(work: F64, length: int) -> None:
        to_band(
            b"L", order, width, at(matrix), order, at(band), rows, at(tau), at(work),
            integer(length), ctypes.byref(info), _ONE_CHARACTER,
        )  # fmt: skip

    first(*_workspace(lambda work: first(work, -1)))
    diag, off = np.empty(size), np.empty(size)
    reflectors, length_of_reflectors = np.empty(4 * size), integer(4 * size)

    def second(work: F64, length: int) -> None:
        to_tridiagonal(
            b"Y", b"N", b"L", order, width, at(band), rows, at(diag), at(off), at(reflectors),
            length_of_reflectors, at(work), integer(length), ctypes.byref(info),
            _ONE_CHARACTER, _ONE_CHARACTER, _ONE_CHARACTER,
        )  # fmt: skip

    second(*_workspace(lambda work: second(work, -1)))
    return diag, off[: size - 1]


def _workspace(ask: Callable[[F64], None]) -> tuple[F64, int]:
    best = np.empty(1)
    ask(best)
    return np.empty(int(best[0])), int(best[0])


@cache
def _stage(name: str) -> Callable[..., None] | None:
    """dsytrd_NAME, as SciPy's own build of OpenBLAS or as others name it."""
    linked: Any = ctypes.CDLL(cython_lapack.__file__)  # finds what its dependencies export, too
    for symbol in (f"scipy_dsytrd_{name}_", f"dsytrd_{name}_"):
        found: Any = getattr(linked, symbol, None)
        if found is not None:
            found.restype = None
            routine: Callable[..., None] = found
            return routine
    return None
