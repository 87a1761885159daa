"""A process to kill: `python -m tests.store_run DIRECTORY DELAY` runs the small extraction.

`python -m tests.store_run DIRECTORY steps` instead kills one run at each of its system calls in
turn, lets another run finish after each, and prints how many kills there were; with `shared` for
`steps` two processes' stores are filled, and one's or three's afterwards. It forks, which is
why it is a process of its own: a process that holds JAX's threads must not.
"""

from __future__ import annotations

import shutil
import signal
import sys
from functools import partial
from pathlib import Path

from extract.store import opening
from tests.faults import failing
from tests.killed import in_child
from tests.store_cases import contents, extract, extract_shared, small_plan, traces

RUN_TRACES = 120


def run(directory: Path, nth: int, count: int) -> None:
    """An extraction by so many processes that is killed at its `nth` call."""
    plan = small_plan(traces(3), shard_rows=50)
    with failing(nth, "kill"):
        if count == 1:
            extract(directory, plan)
        else:
            extract_shared(directory, plan, count)


def kill_at_each_call(directory: Path, count: int) -> int:
    """How many runs by so many processes were killed before one got through."""
    good = contents(extract(directory / "good", small_plan(traces(3), shard_rows=50)))
    for nth in range(1, 2000):
        path = directory / f"run{nth}"
        status = in_child(partial(run, path, nth, count))
        others = count if count == 1 else 1 + 2 * (nth % 2)
        assert status in {0, -signal.SIGKILL}
        assert in_child(partial(run, path, sys.maxsize, others)) == 0, (
            f"no resuming after call {nth}"
        )
        assert contents(path) == good, f"other bytes after call {nth}"
        shutil.rmtree(path)
        if status == 0:
            return nth - 1
    raise AssertionError("the run never got through")


if __name__ == "__main__":
    where, how = Path(sys.argv[1]), sys.argv[2]
    if how in {"steps", "shared"}:
        sys.stdout.write(f"{kill_at_each_call(where, 1 if how == 'steps' else 2)}\n")
    else:
        opening.JOURNAL_INTERVAL = 0.02
        extract(where, small_plan(traces(RUN_TRACES)), delay=float(how))
