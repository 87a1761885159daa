"""Several processes on this machine, spawned, which all end when one fails or time is up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[1]
QUICK: Mapping[str, str] = MappingProxyType({"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})
"""Variables of processes whose time is compiling."""

LIMIT = 120.0
"""Seconds that any of these tests may take, on a slow machine."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    stdout: str
    stderr: str


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def together(
    commands: Sequence[Sequence[str]],
    where: Path,
    *,
    meanwhile: Callable[[list[subprocess.Popen[bytes]]], None] = lambda processes: None,
    limit: float = LIMIT,
    first_on_path: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[Ended]:
    """Run commands of Python side by side until all have ended; `meanwhile` something else.

    Their output goes to files in `where`; modules come from `first_on_path` first. Whatever is left
    at the limit is killed, which fails.
    """
    path = os.pathsep.join(filter(None, [first_on_path, str(ROOT)]))
    settings = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            with (
                open(where / f"{number}.out", "wb") as out,
                open(where / f"{number}.err", "wb") as err,
            ):
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *command],
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        env={**os.environ, **settings, **environment},
                        cwd=where,
                    )
                )
        meanwhile(processes)
        end = time.monotonic() + limit
        codes = [process.wait(max(0.1, end - time.monotonic())) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [
        Ended(code, (where / f"{number}.out").read_text(), (where / f"{number}.err").read_text())
        for number, code in enumerate(codes)
    ]


def cluster(count: int) -> list[list[str]]:
    """For each of so many processes the options that have them find each other."""
    where = f"127.0.0.1:{free_port()}"
    return [
        ["--coordinator", where, "--num-processes", str(count), "--process-id", str(rank)]
        for rank in range(count)
    ]
