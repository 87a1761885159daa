"""Forked processes that die, for test processes that hold none of JAX's threads."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def in_child(task: Callable[[], object]) -> int:
    """The exit status of a forked process that does this."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        task()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
