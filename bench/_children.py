"""Whole jobs as processes of their own: what they took, start and end included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time from start to end, and the largest resident memory."""

    seconds: float
    peak_bytes: int


class JobError(Exception):
    """A job ended badly; the message ends with what it said."""


def run_child(command: Sequence[str]) -> Cost:
    """Run `python -m ...` from the checkout; raises `JobError`."""
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=Path(__file__).parent.parent,
            stdout=said,
            stderr=said,
        )
        # wait4 and not wait: it tells the memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            tail = said.read().decode(errors="replace")[-2000:]
            raise JobError(f"python -m {command[0]} ended with {process.returncode}: {tail}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_maxrss * unit)
