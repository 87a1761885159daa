"""LAPACK routines that let other threads run.

SciPy's wrappers hold the interpreter lock for the whole call; the same routines reached through
the addresses that `scipy.linalg.cython_lapack` publishes for C callers do not, so one-threaded
reductions of several groups run side by side. A reduction is bound by memory bandwidth and
synchronises often: threads inside one call gain little, and cost dearly where cores are shared.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_lapack

F64 = NDArray[np.float64]


def _routine(name: str, arguments: int) -> Callable[..., None]:
    """The routine of this name, called with the addresses of its arguments."""
    capsule: object = dict(cython_lapack.__pyx_capi__)[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(address)


_dsytrd = _routine("dsytrd", 10)
_dsterf = _routine("dsterf", 4)
_dpteqr = _routine("dpteqr", 8)


def sytrd(matrix: F64) -> tuple[F64, F64]:
    """Diagonal [k] and off-diagonal [k - 1] of the tridiagonal form; `matrix` is overwritten.

    `matrix` [k, k], k >= 1, Fortran order; the lower triangle is read. The first basis vector
    stays.
    """
    size = len(matrix)
    diag, off, tau = np.empty(size), np.empty(max(size - 1, 1)), np.empty(max(size - 1, 1))
    order, info = ctypes.c_int(size), ctypes.c_int(0)

    def call(work: F64, length: int) -> None:
        _dsytrd(
            b"L", ctypes.byref(order), _at(matrix), ctypes.byref(order), _at(diag), _at(off),
            _at(tau), _at(work), ctypes.byref(ctypes.c_int(length)), ctypes.byref(info),
        )  # fmt: skip

    best = np.empty(1)
    call(best, -1)  # asks for the best size of the workspace
    call(np.empty(int(best[0])), int(best[0]))
    return diag, off[: size - 1]


def sterf(diag: F64, off: F64) -> F64 | None:
    """Eigenvalues [k] in ascending order by QL iteration; None if it did not converge."""
    values, rest = diag.copy(), np.append(off, 0.0)
    order, info = ctypes.c_int(len(diag)), ctypes.c_int(0)
    _dsterf(ctypes.byref(order), _at(values), _at(rest), ctypes.byref(info))
    return values if info.value == 0 else None


def pteqr(diag: F64, off: F64) -> F64 | None:
    """Eigenvalues [k] in descending order by dqds; None if T is not positive definite."""
    size = len(diag)
    values, rest = diag.copy(), np.append(off, 0.0)
    unused, work = np.empty(1), np.empty(4 * size)
    order, one, info = ctypes.c_int(size), ctypes.c_int(1), ctypes.c_int(0)
    _dpteqr(
        b"N", ctypes.byref(order), _at(values), _at(rest), _at(unused), ctypes.byref(one),
        _at(work), ctypes.byref(info),
    )  # fmt: skip
    return values if info.value == 0 else None


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
