"""A job of several processes on this machine, each on cores of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench._children import JobError

LIMIT = 1800.0
"""Seconds that a job may take."""


def run_together(command: Sequence[str], count: int) -> None:
    """Run `python -m ... --distributed` as so many processes to their end; raises `JobError`."""
    where = f"127.0.0.1:{_free_port()}"
    cores = sorted(os.sched_getaffinity(0))
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as said:
        try:
            for rank in range(count):
                more: Sequence[str] = ()
                if count > 1:
                    more = ("--distributed", "--coordinator", where, "--num-processes", str(count))
                    more = (*more, "--process-id", str(rank))
                with _on({cores[rank % len(cores)]}):
                    running.append(
                        subprocess.Popen(
                            [sys.executable, "-m", *command, *more],
                            cwd=Path(__file__).parent.parent,
                            stdout=said,
                            stderr=said,
                        )
                    )
            codes = [process.wait(LIMIT) for process in running]
        finally:
            for process in running:
                process.kill()
        if any(codes):
            said.seek(0)
            tail = said.read().decode(errors="replace")[-2000:]
            raise JobError(f"python -m {command[0]} x {count} ended with {codes}: {tail}")


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile may run on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
