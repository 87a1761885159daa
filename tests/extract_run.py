"""A process that extracts, is killed and goes on: `python -m tests.extract_run DIRECTORY SEED`.

It forks a run for each kill before JAX has any thread, which is why it is a process of its own; so
the packages are imported once. The artifact is DIRECTORY/out, one that nothing stopped is
DIRECTORY/good. A JSON document tells of each kill the exit status and the batches finished, for
each ten of them, after which a run finishes and another directory is begun.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import extract.pipeline
from extract.config import ExtractConfig
from extract.store import opening
from extract.store.journal import JOURNAL_NAME, read_journal
from tests.extract_cases import config_of
from tests.faults import ROUNDS

KILLS = 10
"""Before a run is let to finish; `SPECTRA_ROUNDS` has as many in all."""

PAUSE = 0.005
"""Seconds that a batch takes longer, for kills to fall between the batches and into them."""

FOREVER = 600.0


def options(directory: Path) -> ExtractConfig:
    return config_of(directory, (), layers=(1, -1), max_tokens_per_batch=64)


def forked(config: ExtractConfig, began: int, most: float) -> int:
    """The process of a run, which writes a byte to `began` for each batch and stalls after `most`.

    So the run is still there when it is to be killed, however late that is.
    """
    child = os.fork()
    if child:
        return child
    batches = 0

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal batches
        if stage == "computing" and done:
            batches += 1
            os.write(began, b"x")
            time.sleep(PAUSE if batches <= most else FOREVER)

    status = 1
    try:
        extract.pipeline.run(config, progress=tell)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run(config: ExtractConfig, kill_after: float | None = None, *, batches: int = 0) -> int:
    """A run's exit status; it is killed so many seconds after it wrote so many batches."""
    reads, writes = os.pipe()
    child = forked(config, writes, math.inf if kill_after is None else batches + 2)
    os.close(writes)
    if kill_after is not None:
        for _ in range(batches):
            os.read(reads, 1)
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reads)
    return status


def finished(config: ExtractConfig) -> int:
    """How many batches the journal tells of."""
    path = config.out / JOURNAL_NAME
    return len(read_journal(path)[1]) if path.exists() else 0


def files(directory: Path) -> dict[str, bytes]:
    """Every file's bytes, logs left out."""
    return {file.name: file.read_bytes() for file in directory.iterdir() if file.suffix != ".log"}


def main(directory: Path, seed: int) -> None:
    opening.JOURNAL_INTERVAL = 0.02
    config, draw = options(directory), random.Random(seed)
    assert run(replace(config, out=directory / "good")) == 0
    good = files(directory / "good")
    series = []
    for _ in range(max(1, ROUNDS // KILLS)):
        shutil.rmtree(config.out, ignore_errors=True)
        kills = []
        for number in range(KILLS):
            if number < 3:  # wherever it is: importing is done, compiling may be
                status = run(config, draw.uniform(0.0, 1.0))
            else:
                status = run(config, draw.uniform(0.0, 2 * PAUSE), batches=draw.randint(1, 8))
            kills.append([status, finished(config)])
        last = run(config)
        series.append({"kills": kills, "last": last, "same": files(config.out) == good})
    sys.stdout.write(json.dumps(series))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
