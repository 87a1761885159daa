"""A process that kills runs at random: `python -m tests.killed_rounds DIRECTORY SEED`.

DIRECTORY/runs has what two undisturbed runs write. It forks a process for each round before JAX has
any thread. By turns it kills a whole run wherever it is, the writing of a run and the writing of a
report, each over what earlier rounds left. It prints a JSON object: by kind, how many were killed,
and how many had ended before.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import spectra
from tests.artifact_files import write_tiny
from tests.fault_writers import CONFIGS, MODEL, NEW, OLD, load_runs, run_writer, writers
from tests.faults import ROUNDS, contents
from tests.killed import fork, in_child, wait


def timed(task: Callable[[], object]) -> float:
    """Seconds that an undisturbed process takes to do this."""
    begin = time.monotonic()
    assert in_child(task) == 0
    return time.monotonic() - begin


def whole(directory: Path, path: Path, version: int) -> None:
    spectra.run(directory / MODEL, path, CONFIGS[version])


def killed_after(seconds: float, task: Callable[[], object]) -> int:
    """The exit status of a process that is killed so long after it began."""
    child = fork(task)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return wait(child)


def main(directory: Path, seed: int) -> None:
    write_tiny(directory / MODEL)
    runs = load_runs(directory / "runs")
    run_writer(runs).write(directory / "results", OLD)
    metrics, pages = directory / "metrics", directory / "pages"
    run, report = run_writer(runs), writers(runs)["report"]
    kinds: dict[str, tuple[Callable[[Path, int], object], Path]] = {
        "run": (partial(whole, directory), metrics),
        "writing": (run.write, metrics),
        "report": (report.write, pages),
    }
    lasts = {name: timed(partial(write, path, OLD)) for name, (write, path) in kinds.items()}
    draw, counts = random.Random(seed), {name: Counter[str]() for name in kinds}
    for number in range(ROUNDS):
        name = list(kinds)[number % len(kinds)]
        write, path = kinds[name]
        version = draw.choice([OLD, NEW])
        status = killed_after(draw.uniform(0, 1.1 * lasts[name]), partial(write, path, version))
        assert status in {0, -signal.SIGKILL}, f"round {number}: exit status {status}"
        counts[name]["ended" if status == 0 else "killed"] += 1
        for writer, place in ((run, metrics), (report, pages)):
            assert writer.seen(place) in {OLD, NEW, None}, f"round {number}"
    assert in_child(partial(whole, directory, metrics, NEW)) == 0
    assert run.seen(metrics) == NEW
    assert set(contents(metrics / MODEL)) == {*runs[NEW].files, "run.json"}
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
