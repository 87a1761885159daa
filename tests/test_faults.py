"""Whatever call fails, at whichever moment: files are old or new, and a rerun mends the rest."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from extract import pipeline, write_traces
from spectra.artifacts import verify_artifact
from spectra.errors import SpectraError
from tests.cli_runs import SMALL, call
from tests.extract_cases import one_device, short_traces, write_model
from tests.fault_writers import MODEL, NEW, OLD, Run, capture_runs, run_writer, writers
from tests.faults import FREEING, ROUNDS, Act, contents, failing, leftovers, restore, unflushed

ROOT = Path(__file__).parent.parent
NAMES = ("run", "compare", "report", "artifact", "traces")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return capture_runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("act", ["full", "EIO"])
@pytest.mark.parametrize("name", NAMES)
def test_any_call_may_fail(runs: list[Run], tmp_path: Path, name: str, act: Act) -> None:
    """One clean error of exit code 3, no temporary, and old results until new ones are written."""
    run_writer(runs).write(tmp_path / "results", OLD)
    writer, path, old, new = writers(runs)[name], *(tmp_path / n for n in ("out", "old", "new"))
    writer.write(old, OLD)
    writer.write(new, NEW)
    before, after, nth = contents(old), contents(new), 0
    for nth in range(1, 1000):
        restore(path, old)
        error = None
        with failing(nth, act) as faults:
            try:
                writer.write(path, NEW)
            except SpectraError as caught:
                error = caught
        assert all(found in {before.get(n), after.get(n)} for n, found in contents(path).items())
        assert not leftovers(path) or (act == "EIO" and faults.failed in FREEING)
        seen = writer.seen(path)
        if error is None:
            assert seen == NEW
        else:
            assert error.exit_code == 3
            assert "cannot be written: " in str(error)
            staging = faults.failed in {"open", "write"} and name in {"run", "compare"}
            assert seen in ({OLD} if staging else {OLD, NEW, None})
        with unflushed():
            writer.write(path, NEW)
        assert contents(path) == after
        if faults.failed is None:
            break
    assert nth > 5


def test_killed_at_any_call(runs: list[Run], tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(pickle.dumps(runs))
    command = [sys.executable, "-m", "tests.killed_run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout)
    assert set(killed) == set(NAMES)
    assert all(min(counts) >= 5 for counts in killed.values()), killed


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Whole runs, the writing of runs and reports; more often where SPECTRA_ROUNDS says so."""
    seed = random.randrange(10**6)
    command = [sys.executable, "-m", "tests.killed_rounds", str(tmp_path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    counts = json.loads(done.stdout)
    assert sum(sum(count.values()) for count in counts.values()) == ROUNDS
    assert counts["run"]["killed"] > 0


# ---- whole commands ---------------------------------------------------------------------------


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
    write_traces(path / "traces.jsonl", short_traces(3))
    with one_device(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_load", cached(pipeline._load))
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
    args: tuple[object, ...] = ("extract", model / "traces.jsonl", "--model", model / "model")
    args += ("--max-tokens-per-batch", "256", "--push-layout", "--out")
    assert call(*args, tmp_path / "good" / "m").exit_code == 0
    good = whole_artifact(tmp_path / "good")
    nth = 0
    for nth in range(1, 1000):
        place = tmp_path / f"run{nth}"
        with failing(nth, act) as faults:
            result = call(*args, place / "m")
        assert result.exit_code == 0 or one_error(result)
        if (place / "m" / "config.json").exists():
            verify_artifact(place / "m")
        with unflushed():
            assert call(*args, place / "m").exit_code == 0
        assert whole_artifact(place) == good
        if faults.failed is None:
            break
    assert nth > 30


def whole_artifact(path: Path) -> dict[str, bytes]:
    """All but the logs."""
    return {name: data for name, data in contents(path).items() if not name.endswith(".log")}
