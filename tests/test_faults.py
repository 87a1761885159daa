"""Whatever call fails, at whichever moment: files are old or new, and a rerun mends the rest."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.fault_writers import NEW, OLD, Run, capture_runs, run_writer, writers
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
