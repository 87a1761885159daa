"""Forked processes that die, for test processes that hold none of JAX's threads."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def fork(task: Callable[[], object]) -> int:
    """The id of a forked process that does this and ends with 0, or with 1 for an exception."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        task()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(child: int) -> int:
    """The exit status of a process, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(task: Callable[[], object]) -> int:
    """The exit status of a forked process that does this."""
    return wait(fork(task))
