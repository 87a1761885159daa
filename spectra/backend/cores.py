"""How many cores there are, and keeping BLAS from spreading over them by itself."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def usable_cores() -> int:
    """How many cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def one_thread_blas() -> AbstractContextManager[object]:
    """While open, BLAS and LAPACK calls use one thread each; calls of ours run side by side.

    The threads of OpenBLAS wait by spinning: where another process has a core, a 128 x 128 SVD was
    seen to take 0.4 s. The setting holds for the process and is put back at the end.
    """
    _found()
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits


def own_threads_blas() -> AbstractContextManager[object]:
    """While open, BLAS and LAPACK calls use the threads that they did before we came.

    For calls inside of `one_thread_blas` with nothing beside them.
    """
    limits: AbstractContextManager[object] = _controller().limit(limits=_found())
    return limits


@cache
def _found() -> list[dict[str, Any]]:
    """The libraries with the threads that each of them used at first."""
    return list(_controller().info())


@cache
def _controller() -> ThreadpoolController:
    """Finding the loaded libraries takes milliseconds, so it is done once."""
    return ThreadpoolController()
