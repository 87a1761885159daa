"""Whatever call fails, at whichever moment: files are old or new, and a rerun mends the rest."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import spectra
import spectra.pipeline
from tests.artifact_files import write_tiny
from tests.fault_writers import (
    CONFIGS,
    NEW,
    OLD,
    Run,
    capture_runs,
    run_writer,
    save_runs,
    writers,
)
from tests.faults import (
    FREEING,
    ROUNDS,
    Act,
    caught,
    contents,
    failing,
    is_clean,
    leftovers,
    restore,
    unflushed,
)

ROOT = Path(__file__).parent.parent
NAMES = ("run", "compare", "report", "artifact", "traces", "table", "manifest", "part")


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
        with failing(nth, act) as faults:
            error = caught(partial(writer.write, path, NEW))
        assert all(found in {before.get(n), after.get(n)} for n, found in contents(path).items())
        assert not leftovers(path) or (act == "EIO" and faults.failed in FREEING)
        seen = writer.seen(path)
        if error is None:
            assert seen == NEW
        else:
            assert is_clean(error)
            staging = faults.failed in {"open", "write"} and name in {"run", "compare"}
            assert seen in ({OLD} if staging else {OLD, NEW, None})
        with unflushed():
            writer.write(path, NEW)
        assert contents(path) == after
        assert not leftovers(path)
        if faults.failed is None:
            break
    assert nth > 5


def test_a_merge_may_fail_at_any_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts stay as they are, and merging them again gives the files of a run at once."""
    src, out, config = tmp_path / "tiny", tmp_path / "out", CONFIGS[NEW]
    write_tiny(src)
    for module in ("pipeline", "parts.identity"):
        monkeypatch.setattr(sys.modules[f"spectra.{module}"], "versions", dict)  # they take a while
    for number in range(2):
        spectra.run_part(src, out, f"{number}/2", config)
    parts = contents(out)
    spectra.run(src, tmp_path / "plain", config)
    plain = contents(tmp_path / "plain")
    del plain["tiny/run.json"]
    for name in ("evaluate_layer", "pool_records"):  # they read parts and write nothing
        remember = cache_of(getattr(spectra.pipeline, name))
        monkeypatch.setattr(spectra.pipeline, name, remember)
    nth = 0
    for nth in range(1, 1000):
        with failing(nth, ("full", "EIO")[nth % 2]) as faults:
            error = caught(partial(spectra.merge, src, out))
        assert error is None or is_clean(error)
        assert parts.items() <= contents(out).items()
        assert not leftovers(out) or faults.failed in FREEING
        with unflushed():
            spectra.merge(src, out)
        found = {name: data for name, data in contents(out).items() if name not in parts}
        assert found.pop("tiny/run.json")
        assert found == plain
        if faults.failed is None:
            break
        for name in (*found, "tiny/run.json"):
            (out / name).unlink()
    assert nth > 15


def cache_of(compute: Callable[..., Any]) -> Callable[..., Any]:
    """The first result, again and again."""
    known: list[Any] = []

    def remembered(*args: Any) -> Any:
        known.extend([] if known else [compute(*args)])
        return known[0]

    return remembered


def test_killed_at_any_call(runs: list[Run], tmp_path: Path) -> None:
    save_runs(runs, tmp_path / "runs")
    command = [sys.executable, "-m", "tests.killed_run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout)
    assert set(killed) == set(NAMES)
    assert all(min(counts) >= 5 for counts in killed.values()), killed


def test_killed_at_random_moments(runs: list[Run], tmp_path: Path) -> None:
    """Whole runs, the writing of runs and reports; more often where SPECTRA_ROUNDS says so."""
    save_runs(runs, tmp_path / "runs")
    seed = random.randrange(10**6)
    command = [sys.executable, "-m", "tests.killed_rounds", str(tmp_path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    counts = json.loads(done.stdout)
    assert sum(sum(count.values()) for count in counts.values()) == ROUNDS
    assert counts["run"]["killed"] > 0
