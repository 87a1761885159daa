"""Whole commands whose writes fail, that signals stop, and that find their place taken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from extract import pipeline, write_traces
from spectra import cli
from spectra.artifacts import verify_artifact
from tests.cli_runs import SMALL, call, files_under
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.fault_writers import MODEL
from tests.faults import Act, caught, contents, failing, is_clean, leftovers, unflushed

ROOT = Path(__file__).parents[1]

# ---- writes that fail -------------------------------------------------------------------------


def one_error(result: Result) -> bool:
    """Whether a command ended with the one message of a write that failed."""
    assert result.exit_code == 3, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "cannot be written: " in result.stderr
    assert result.stderr.count("\n") == 1
    return True


@pytest.mark.parametrize(("nth", "act"), [(1, "full"), (9, "EIO"), (20, "full"), (30, "EIO")])
def test_a_run_that_cannot_write_says_so_and_succeeds_later(here: Path, nth: int, act: Act) -> None:
    args = ("run", "annotated_traces_reprs", "--pools", "all", *SMALL, "--out")
    with failing(nth, act):
        assert one_error(call(*args, "faulty"))
    assert not leftovers(here)
    assert not (here / "faulty" / MODEL / "run.json").exists()
    assert call(*args, "faulty").exit_code == call(*args, "good").exit_code == 0
    faulty, good = contents(here / "faulty"), contents(here / "good")
    assert {**faulty, f"{MODEL}/run.json": b""} == {**good, f"{MODEL}/run.json": b""}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a model and traces, whose extractions load and compile once."""
    path = tmp_path_factory.mktemp("extract")
    write_model(path / "model", case="llama-v4", num_hidden_layers=2)
    write_traces(path / "traces.jsonl", short_traces(2))
    with one_device(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "load", cached(pipeline.load))
        yield path


def cached(load: Callable[..., Any]) -> Callable[..., Any]:
    """The decoder that was loaded first, for whatever is asked."""
    loaded: list[Any] = []

    def wrapped(*args: Any) -> Any:
        if not loaded:
            loaded.append(load(*args))
        return loaded[0]

    return wrapped


@pytest.mark.parametrize("act", ["full", "EIO"])
def test_an_extraction_may_fail_at_any_call(model: Path, tmp_path: Path, act: Act) -> None:
    """The log and the dataset's card are written, too."""
    config = config_of(model, (), max_tokens_per_batch=256, push_layout=True)
    pipeline.run(replace(config, out=tmp_path / "good" / "m"))
    good, nth = whole_artifact(tmp_path / "good"), 0
    for nth in range(1, 1000):
        place = tmp_path / f"run{nth}"
        again = replace(config, out=place / "m")
        with failing(nth, act) as faults:
            error = caught(partial(pipeline.run, again))
        assert error is None or is_clean(error)
        if (place / "m" / "config.json").exists():
            verify_artifact(place / "m")
        with unflushed():
            pipeline.run(again)
        assert whole_artifact(place) == good
        if faults.failed is None:
            break
    assert nth > 30


def whole_artifact(path: Path) -> dict[str, bytes]:
    """All but the logs."""
    return {name: data for name, data in contents(path).items() if not name.endswith(".log")}


# ---- a place that is taken --------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from spectra.lock import locked
with locked(Path(sys.argv[1]), "run.lock"):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(directory: Path) -> subprocess.Popen[str]:
    """A process that has the directory's lock."""
    command = [sys.executable, "-c", HOLDER, str(directory)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_of_the_first_and_a_dead_one_binds_nobody(here: Path) -> None:
    args = ("run", "annotated_traces_reprs", "--out", "out", "--pools", "all", *SMALL)
    place = here / "out" / "tiny"
    with hold(place) as process:
        result = call(*args)
        assert result.exit_code == 2
        assert result.stderr == (
            f"Error: out/tiny is being written by process {process.pid} on "
            f"{socket.gethostname()}. Expected one run at a time in a directory: wait for it, stop "
            "it, or choose another directory.\n"
        )
        process.send_signal(signal.SIGKILL)
    assert files_under(here / "out") == {"tiny/run.lock"}
    assert call("report", "out").exit_code == 3  # nothing finished is there
    assert call(*args).exit_code == 0
    assert "run.lock" not in os.listdir(place)


# ---- signals ----------------------------------------------------------------------------------


class EndedError(Exception):
    """In place of the end of the process."""


def ended(code: int) -> None:
    raise EndedError(code)


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)
    time.sleep(5)  # which the signal cuts short


TRACES = ("traces", "sample", "--count", "2", "--out", "made.jsonl")


@pytest.mark.parametrize(
    "args",
    [
        ("run", "annotated_traces_reprs", "--out", "new", "--pools", "all", *SMALL),
        ("report", "metrics", "-o", "new.html"),
        ("table", "metrics", "-o", "new.csv"),
        TRACES,
    ],
    ids=lambda args: args[0],
)
def test_every_command_that_writes_ends_in_order(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    args: tuple[str, ...],
) -> None:
    """The signal comes while the command's first file is flushed."""
    if "metrics" in args:
        made = call("run", "annotated_traces_reprs", "--out", "metrics", "--pools", "all", *SMALL)
        assert made.exit_code == 0
    before, flush = files_under(here), os.fsync

    def interrupted(handle: int) -> None:
        flush(handle)
        send(signal.SIGTERM)

    monkeypatch.setattr(os, "fsync", interrupted)
    monkeypatch.setattr(os, "_exit", ended)
    monkeypatch.setattr(sys, "argv", ["spectra", *args])
    with pytest.raises(EndedError, match="143"):
        cli.main()
    assert capfd.readouterr().err.endswith("Stopped by SIGTERM.\n")
    assert files_under(here) == before
    assert not (here / "new").exists()


def test_a_signal_before_the_command_begins(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "escape_on_streams", lambda: send(signal.SIGTERM))
    monkeypatch.setattr(os, "_exit", ended)
    monkeypatch.setattr(sys, "argv", ["spectra", "info", "nowhere"])
    with pytest.raises(EndedError, match="143"):
        cli.main()
    assert "Traceback" not in capfd.readouterr().err
