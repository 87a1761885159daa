"""Routines of BLAS and LAPACK that let other threads run.

SciPy's wrappers hold the interpreter lock for the whole call; the same routines reached through
the addresses that `scipy.linalg.cython_blas` and `cython_lapack` publish for C callers do not, so
one-threaded calls run side by side on threads of ours. Threads inside one call synchronise by
spinning, which costs dearly where cores are shared; ours sleep.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

F64: TypeAlias = NDArray[np.float64]


def routine(name: str, arguments: int) -> Callable[..., None]:
    """The BLAS or LAPACK routine of this name, called with the addresses of its arguments."""
    published: dict[str, object] = {**cython_blas.__pyx_capi__, **cython_lapack.__pyx_capi__}
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = published[name]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(address)


def integer(value: int) -> Any:
    """The address of an integer argument."""
    return ctypes.byref(ctypes.c_int(value))


def at(array: NDArray[Any], element: int = 0) -> ctypes.c_void_p:
    """The address of an array's element, counted in memory order."""
    return ctypes.c_void_p(array.ctypes.data + element * array.itemsize)
