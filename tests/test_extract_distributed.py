"""Processes that share an extraction: the same bytes, and an end for all when one ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from extract import ExtractConfig, run
from extract.store.journal import JOURNAL_NAME, read_journal
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.extract_run import files
from tests.loopback import QUICK, Ended, cluster, together

TRACES = [trace for trace in short_traces(400) if len(trace.response) < 66]
"""Of one shape, some forty batches."""

SOON = 60.0
"""Seconds within which all end when one has been killed."""

TOLD = {
    0: "JAX distributed service detected fatal errors",
    1: "The batches that are finished are kept",
}
"""What is left says, by who was killed. Without process 0 JAX ends the others."""


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExtractConfig:
    directory = tmp_path_factory.mktemp("distributed")
    write_model(directory / "model", case="llama-v4", num_hidden_layers=2)
    return config_of(directory, TRACES, max_tokens_per_batch=64)


@pytest.fixture(scope="module")
def good(config: ExtractConfig) -> dict[str, bytes]:
    """The files of one process that nothing disturbed."""
    return files(run(replace(config, out=config.out.parent / "good")).path)


def commands(config: ExtractConfig, *module: str, count: int = 2) -> list[list[str]]:
    args = ["extract", str(config.traces), "--model", config.model, "--out", str(config.out)]
    args += ["--max-tokens-per-batch", "64", "--backend", "cpu", "--distributed"]
    return [["-m", *module, *args, *where] for where in cluster(count)]


def finished(config: ExtractConfig, rank: int) -> int:
    path = config.out / (f"{JOURNAL_NAME}-{rank}" if rank else JOURNAL_NAME)
    return len(read_journal(path)[1]) if path.exists() else 0


def start(config: ExtractConfig, where: Path, count: int = 2) -> list[Ended]:
    where.mkdir()
    return together(commands(config, "spectra.cli", count=count), where, environment=QUICK)


# ---- the same bytes ---------------------------------------------------------------------------


def test_two_processes_write_what_one_writes(
    config: ExtractConfig, good: dict[str, bytes], tmp_path: Path
) -> None:
    options = replace(config, out=tmp_path / "out")
    first, second = start(options, tmp_path / "first")
    assert (first.code, second.code) == (0, 0), (first, second)
    assert files(options.out) == good
    assert f"Hidden states: {options.out}/" in first.stdout
    assert (second.stdout, second.stderr) == ("", "")
    (log,) = options.out.glob("*_process1.log")
    assert " computed 0 tokens" not in log.read_text()


def test_other_traces_are_refused_by_both(config: ExtractConfig, tmp_path: Path) -> None:
    options = replace(config, out=tmp_path / "out")
    first, second = commands(options, "spectra.cli")
    ended = together([first, [*second, "--limit", "5"]], tmp_path, environment=QUICK)
    for one in ended:
        assert one.code == 2
        assert "the extraction of process 1 (" in one.stderr
        assert "plan." in one.stderr
    assert not options.out.exists()


# ---- ends -------------------------------------------------------------------------------------


def kill_midway(config: ExtractConfig, victim: int, where: Path) -> list[Ended]:
    """Both processes, of which one is killed when each has finished some batches."""
    killed: list[float] = []

    def kill(processes: Sequence[subprocess.Popen[bytes]]) -> None:
        until = time.monotonic() + 90
        while min(finished(config, rank) for rank in range(2)) < 3:
            assert time.monotonic() < until
            assert all(process.poll() is None for process in processes)
            time.sleep(0.02)
        processes[victim].kill()
        killed.append(time.monotonic())

    where.mkdir()
    ended = together(
        commands(config, "tests.extract_process", "0"),
        where,
        meanwhile=kill,
        limit=SOON,
        environment=QUICK,
    )
    assert time.monotonic() - killed[0] < SOON
    return ended


@pytest.mark.parametrize("victim", [0, 1])
def test_a_kill_ends_the_other_and_one_or_two_go_on_to_the_same_bytes(
    config: ExtractConfig, good: dict[str, bytes], tmp_path: Path, victim: int
) -> None:
    options = replace(config, out=tmp_path / "out")
    ended = kill_midway(options, victim, tmp_path / "killed")
    assert ended[victim].code == -signal.SIGKILL
    assert ended[1 - victim].code not in {0, -signal.SIGKILL}
    assert TOLD[victim] in ended[1 - victim].stderr
    kept = [finished(options, rank) for rank in range(2)]
    assert min(kept) >= 3
    assert "config.json" not in files(options.out)
    if victim:
        shutil.copytree(options.out, tmp_path / "other")
    rest = run(options)
    assert files(options.out) == good
    assert 0 < rest.computed_tokens < rest.totals.tokens
    if victim:
        other = replace(options, out=tmp_path / "other")
        again = start(other, tmp_path / "again")
        assert [one.code for one in again] == [0, 0], again
        assert files(other.out) == good


def test_an_error_in_one_is_told_by_both(config: ExtractConfig, tmp_path: Path) -> None:
    options = replace(config, out=tmp_path / "out")
    first, second = commands(options, "tests.extract_process", "0")
    second[2] = "3"
    healthy, full = together([first, second], tmp_path, environment=QUICK)
    assert (full.code, full.stderr) == (3, "Error: the disk of this process is full.\n")
    assert healthy.code == 1
    assert "ended: the disk of this process is full. The batches that are" in healthy.stderr
    assert 0 < finished(options, 1) <= 3
    assert "config.json" not in os.listdir(options.out)
