"""A process to kill: `python -m tests.store_run DIRECTORY DELAY` runs the small extraction.

`python -m tests.store_run DIRECTORY steps` instead kills one run at each of its system calls in
turn, lets another run finish after each, and prints how many kills there were. It forks, which is
why it is a process of its own: a process that holds JAX's threads must not.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extract.store import opening
from tests.store_cases import contents, extract, small_plan, traces

CALLS = (
    "open",
    "write",
    "pwrite",
    "posix_fallocate",
    "ftruncate",
    "fsync",
    "fdatasync",
    "replace",
    "unlink",
)
KILLED = 99
RUN_TRACES = 120


def dying(original: Callable[..., Any], budget: list[int]) -> Callable[..., Any]:
    """`original`, until the shared budget of calls is spent: then the process is no more."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        budget[0] -= 1
        if budget[0] < 0:
            os._exit(KILLED)
        return original(*args, **kwargs)

    return wrapped


def unflushed(name: str) -> Callable[..., Any]:
    """The system call; a flush does nothing, for only a power cut would miss it, and it is slow."""
    return (lambda handle: None) if "sync" in name else getattr(os, name)


def in_child(directory: Path, allowed: int) -> int:
    """The exit status of a forked run that may make `allowed` system calls."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    budget = [allowed]
    for name in CALLS:
        if hasattr(os, name):
            setattr(os, name, dying(unflushed(name), budget))
    status = 1
    try:
        extract(directory, small_plan(traces(3), shard_rows=50))
        status = 0
    finally:
        os._exit(status)


def kill_at_each_call(directory: Path) -> int:
    """How many runs were killed before one got through."""
    good = contents(extract(directory / "good", small_plan(traces(3), shard_rows=50)))
    for allowed in range(2000):
        path = directory / f"run{allowed}"
        status = in_child(path, allowed)
        assert status in {0, KILLED}
        assert in_child(path, sys.maxsize) == 0, f"no resuming after {allowed} calls"
        assert contents(path) == good, f"other bytes after {allowed} calls"
        shutil.rmtree(path)
        if status == 0:
            return allowed
    raise AssertionError("the run never got through")


if __name__ == "__main__":
    where, how = Path(sys.argv[1]), sys.argv[2]
    if how == "steps":
        sys.stdout.write(f"{kill_at_each_call(where)}\n")
    else:
        opening.JOURNAL_INTERVAL = 0.02
        extract(where, small_plan(traces(RUN_TRACES)), delay=float(how))
