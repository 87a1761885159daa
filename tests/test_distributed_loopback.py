"""`spectra run --distributed` in real processes on this machine, connected by JAX over loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

import spectra
from tests.cli_runs import call
from tests.loopback import QUICK, Ended, cluster, together
from tests.part_cases import CONFIG, DIM, unlike, write, written
from tests.tolerances import ROUNDING

pytestmark = pytest.mark.usefixtures("quick_compiles")

FLAGS = (
    *("--backend", "cpu", "--layers", "all", "--bins", "2"),
    *("--counts", "4,9", "--repeats", "2", "--drop-first", "1", "--pools", "all,mean"),
)
OPTIONS = replace(CONFIG, pools=("all", "mean"))
"""The same, for one process."""


def command(src: Path, out: Path, *more: str) -> list[str]:
    return ["-m", "spectra.cli", "run", str(src), "--out", str(out), *FLAGS, *more]


def shared(src: Path, out: Path, where: Path, count: int, *more: str) -> list[Ended]:
    where.mkdir(exist_ok=True)
    commands = [command(src, out, "--distributed", *one, *more) for one in cluster(count)]
    return together(commands, where, environment=QUICK)


@pytest.fixture(scope="module")
def src(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("states") / "cut", [40, 61, 3, 0, 90, 17])


@pytest.fixture(scope="module")
def plain(src: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (run,) = spectra.run(src, tmp_path_factory.mktemp("plain"), OPTIONS)
    return run.out


@pytest.fixture(scope="module")
def two(src: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ended]]:
    """What two processes wrote, and how they ended."""
    where = tmp_path_factory.mktemp("two")
    return where / "out", shared(src, where / "out", where / "logs", 2, "--json")


def test_two_processes(two: tuple[Path, list[Ended]], plain: Path) -> None:
    out, (first, second) = two
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert unlike(plain, out / "cut", ROUNDING.relative) == []
    assert [model["model"] for model in json.loads(first.stdout)["models"]] == ["cut"]
    assert (second.stdout, second.stderr) == ("", "")
    record = json.loads((out / "cut/run.json").read_text())
    assert record["processes"] == 2
    assert record["exchanged"]["bytes"] > 8 * DIM**2
    whole = record["stages"]["read, multiply, solve"]["seconds"]
    assert 0 < record["exchanged"]["seconds"] < whole


def test_three_processes_and_one_layer(src: Path, tmp_path: Path) -> None:
    (whole,) = spectra.run(src, tmp_path / "plain", replace(CONFIG, layers=(3,), pools=("mean",)))
    ended = shared(
        *(src, tmp_path / "out", tmp_path / "logs", 3, "--quiet"),
        *("--layers", "3", "--pools", "mean"),
    )
    assert [one.code for one in ended] == [0] * 3, [one.stderr for one in ended]
    assert [one.stdout + one.stderr for one in ended] == [""] * 3
    assert unlike(whole.out, tmp_path / "out/cut", ROUNDING.relative) == []


def test_other_options_in_one_process_end_all(src: Path, tmp_path: Path) -> None:
    commands = [
        command(src, tmp_path / "out", "--distributed", *one, "--seed", str(rank))
        for rank, one in enumerate(cluster(2))
    ]
    ended = together(commands, tmp_path, environment=QUICK)
    for one in ended:
        assert one.code == 2
        assert "the plan of process 1" in one.stderr
        assert "options.seed is 1, not 0" in one.stderr
        assert "Traceback" not in one.stderr
    assert not (tmp_path / "out").exists()


def test_a_killed_process_ends_the_other_and_a_run_again_is_whole(
    src: Path, two: tuple[Path, list[Ended]], tmp_path: Path
) -> None:
    """Process 1 stands still while it is to send its sums, and is killed there."""
    killed = 0.0

    def kill(processes: list[subprocess.Popen[bytes]]) -> None:
        nonlocal killed
        end = time.monotonic() + 60
        while not (tmp_path / "logs/stopped").exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(processes[1].pid, signal.SIGKILL)
        killed = time.monotonic()

    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    (logs / "sitecustomize.py").write_text(STOPPING)
    commands = [command(src, out, "--distributed", *one) for one in cluster(2)]
    ended = together(commands, logs, meanwhile=kill, first_on_path=str(logs), environment=QUICK)
    assert time.monotonic() - killed < 60
    assert [one.code for one in ended] == [1, -signal.SIGKILL]
    assert "Error: process 1 of 2 (on " in ended[0].stderr
    assert "run all of them again" in ended[0].stderr
    assert "Traceback" not in ended[0].stderr
    assert not list(out.rglob("*.json"))

    again = shared(src, out, tmp_path / "again", 2)
    assert [one.code for one in again] == [0, 0]
    assert written(out) == written(two[0])


STOPPING = """
import os, sys, time
if "--process-id" in sys.argv and sys.argv[sys.argv.index("--process-id") + 1] == "1":
    from spectra.distributed.connected import Connected
    def total(self, values):
        open("stopped", "w").close()
        time.sleep(300)
    Connected.total = total
"""


def test_copies_that_a_launcher_started_are_refused(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    ended = call("run", src, "--out", tmp_path / "out", *FLAGS)
    assert ended.exit_code == 2
    assert "srun started 8 copies of this command" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_processes_that_jax_cannot_find_are_an_error(src: Path, tmp_path: Path) -> None:
    (ended,) = together([command(src, tmp_path / "out", "--distributed")], tmp_path)
    assert ended.code == 2
    assert "the processes did not find each other" in ended.stderr
    assert "--coordinator HOST:PORT" in ended.stderr
