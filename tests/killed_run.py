"""A process that kills writers: `python -m tests.killed_run DIRECTORY`, with DIRECTORY/runs there.

It forks one for each call that can be the last, which is why it is a process of its own: one that
holds JAX's threads must not. It prints a JSON object: by writer, how many were killed.
"""

from __future__ import annotations

import json
import signal
import sys
from functools import partial
from pathlib import Path

from tests.fault_writers import NEW, OLD, Writer, load_runs, run_writer, writers
from tests.faults import contents, failing, leftovers, restore, unflushed
from tests.killed import in_child

_MOST = 1000


def kill_at_each_call(writer: Writer, directory: Path, *, old: bool) -> int:
    """How many were killed before one got through, over an older version or in a new place."""
    path, before, after = directory / "out", directory / "old", directory / "new"
    writer.write(before, OLD)
    writer.write(after, NEW)
    olds, news = contents(before) if old else {}, contents(after)

    def disturbed(nth: int) -> None:
        with failing(nth, "kill"):
            writer.write(path, NEW)

    for nth in range(1, _MOST):
        restore(path, before if old else None)
        status = in_child(partial(disturbed, nth))
        assert status in {0, -signal.SIGKILL}, f"call {nth}: exit status {status}"
        assert writer.seen(path) in {OLD if old else None, NEW, None}, f"call {nth}"
        for name, content in contents(path).items():
            assert content in {olds.get(name), news.get(name)}, f"call {nth}: {name} is torn"
        with unflushed():
            writer.write(path, NEW)
        assert contents(path) == news, f"call {nth}: other bytes"
        assert not leftovers(path), f"call {nth}: {leftovers(path)}"
        if status == 0:
            return nth - 1
    raise AssertionError("the writer never got through")


def main(directory: Path) -> None:
    runs = load_runs(directory / "runs")
    killed: dict[str, list[int]] = {}
    for name, writer in writers(runs).items():
        place = directory / name
        run_writer(runs).write(place / "results", OLD)
        killed[name] = [kill_at_each_call(writer, place, old=old) for old in (False, True)]
    sys.stdout.write(json.dumps(killed))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
