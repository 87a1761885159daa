"""Whole jobs as processes of their own: what they took, start and end included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.02


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
        watch = _Watch(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = watch.peak_bytes()
        if process.returncode != 0:
            said.seek(0)
            tail = said.read().decode(errors="replace")[-2000:]
            raise JobError(f"python -m {command[0]} ended with {process.returncode}: {tail}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, peak or usage.ru_maxrss * unit)


class _Watch:
    """Looks at a process's peak of memory while it runs.

    Linux counts into `ru_maxrss` what the parent's image had reached when the child replaced it:
    a small job of a parent that once held much would seem to have held as much.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._ended, self._kib = threading.Event(), 0
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def peak_bytes(self) -> int:
        """The peak of the process, which has ended; 0 where there is no /proc."""
        self._ended.set()
        self._thread.join()
        return self._kib * 1024

    def _look(self) -> None:
        while not self._ended.is_set():
            try:
                lines = self._status.read_text(encoding="utf-8").splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self._kib = int(line.split()[1])
            self._ended.wait(LOOK_SECONDS)
