"""Calling the command line in tests, on tiny artifacts."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from spectra.artifacts import Sample, write_artifact
from spectra.cli import app
from tests.artifact_files import rows, step, write_tiny

# Making the parser of all commands takes longer than what most calls do; one serves every call.
vars(typer.testing)["_get_command"] = cache(get_command)

SMALL = ("--repeats", "1", "--counts", "4", "--bins", "2")
"""Options that make a run short."""


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands(get_command(app)))
"""Every registered command and group by what is typed after `spectra`."""


def enter(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `path` the working directory, with one tiny artifact under ./annotated_traces_reprs."""
    write_tiny(path / "annotated_traces_reprs" / "tiny")
    monkeypatch.chdir(path)
    return path


def call(*args: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        app, [str(arg) for arg in args]
    )


def plain(text: str) -> str:
    """Without the styles that help has where a CI claims to be a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def files_under(path: Path) -> set[str]:
    return {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}


def write_overlapping(path: Path, label: str = "Deduction") -> Path:
    """One trace whose two steps share two tokens."""
    steps = (step(0, 2, 12, "thought", label), step(0, 10, 20, "solution", label))
    return write_artifact(
        path,
        model="overlapping",
        layers={5: rows(20)},
        samples=[Sample("a", None, 0, 20, 2, steps)],
        final_norm=False,
        shard_rows=20,
    )


def end(process: subprocess.Popen[str], signum: int = signal.SIGINT) -> None:
    """Send the signal once and wait for the process to end."""
    process.send_signal(signum)
    process.wait(timeout=120)
