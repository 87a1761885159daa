"""Whatever interrupts an extraction, running it again gives the bytes of one undisturbed."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extract.store import open_store
from spectra.artifacts import open_artifact, verify_artifact
from spectra.errors import OutputError
from tests.faults import ROUNDS, Act, failing, unflushed
from tests.store_cases import (
    FINGERPRINT,
    all_states,
    check_against_model,
    contents,
    extract,
    small_plan,
    traces,
)
from tests.store_run import RUN_TRACES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an extraction that nothing interrupted."""
    path = extract(tmp_path_factory.mktemp("good"), small_plan())
    check_against_model(path, small_plan())
    return contents(path)


def start(directory: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.store_run", str(directory), how]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def journaled(directory: Path) -> int:
    """Lines of the journal, 0 where there is none."""
    path = directory / "extraction.journal"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_progress(process: subprocess.Popen[str], directory: Path) -> None:
    """Until one more batch is in the journal, or the process has ended."""
    before = max(1, journaled(directory))
    while process.poll() is None and journaled(directory) <= before:
        time.sleep(0.002)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Half of the kills come at any time from the start on, half soon after some progress."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    good = contents(extract(tmp_path / "good", small_plan(traces(RUN_TRACES))))
    kills, path = 0, tmp_path / "round0"
    while kills < ROUNDS:
        with start(path, "0.04") as process:
            if kills % 2:
                wait_for_progress(process, path)
            time.sleep(rng.uniform(0, 0.1 if kills % 2 else 0.6))
            process.send_signal(signal.SIGKILL)
        if process.returncode == 0:  # it was quicker
            assert contents(path) == good, f"seed {seed}"
            path = tmp_path / f"round{kills}"
        else:
            assert process.returncode == -signal.SIGKILL
            kills += 1
    with start(path, "0") as process:
        process.communicate()
    assert process.returncode == 0
    assert contents(path) == good, f"seed {seed}"
    report = verify_artifact(path)
    assert [layer.nonfinite_rows for layer in report.layers] == [0, 0]


@pytest.mark.parametrize("how", ["steps", "shared"])
def test_killed_at_each_system_call(tmp_path: Path, how: str) -> None:
    with start(tmp_path, how) as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    assert int(output) > 40


def counting(original: Callable[..., Any], budget: list[int]) -> Callable[..., Any]:
    """`original`, until the shared budget of calls is spent: then the disk is full."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        budget[0] -= 1
        if budget[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("act", ["full", "EIO"])
def test_any_call_may_fail_and_a_rerun_mends_it(tmp_path: Path, act: Act) -> None:
    """For every call until a run passes untouched."""
    plan = small_plan(traces(7))
    good = contents(extract(tmp_path / "good", plan))
    nth = 0
    for nth in range(1, 2000):
        path = tmp_path / f"run{nth}"
        path.mkdir()
        with failing(nth, act) as faults:
            try:
                extract(path, plan)
            except OutputError as error:
                message = str(error)
                assert any(text in message for text in ("No space left", "Input/output error"))
        if (path / "config.json").exists():
            open_artifact(path)
        with unflushed():
            extract(path, plan)
        assert contents(path) == good
        if faults.failed is None:
            break
    assert nth > 50


def test_a_full_disk_names_the_file_and_keeps_what_was_written(
    tmp_path: Path, good: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, path = small_plan(), tmp_path / "a"
    half = len(plan.batches) // 2

    def fill_disk(store: Any, count: int) -> None:
        if count == half:
            store._session.writer.drain()
            monkeypatch.setattr(os, "pwrite", counting(os.pwrite, [0]))

    with pytest.raises(OutputError, match=r"layer\d_shard\d+.*partial cannot be written: No space"):
        extract(path, plan, after=fill_disk)
    monkeypatch.undo()
    with open_store(path, plan, FINGERPRINT) as store:
        done = {n for batch in plan.batches[: half + 1] for n in batch.samples}
        assert store.finished == done
        assert store.pending_batches() == plan.batches[half + 1 :]
    assert contents(extract(path, plan)) == good


def test_interrupted_between_the_layers_of_a_batch(tmp_path: Path, good: dict[str, bytes]) -> None:
    plan, path = small_plan(), tmp_path / "a"
    with open_store(path, plan, FINGERPRINT) as store:
        first, second = plan.batches[:2]
        store.write(first, all_states(plan, first))
        states = all_states(plan, second)
        store.write(second, {2: states[2]})
    with open_store(path, plan, FINGERPRINT) as store:
        assert store.pending_batches() == plan.batches[1:]
    assert contents(extract(path, plan)) == good


def test_an_interrupt_keeps_what_has_been_written(tmp_path: Path, good: dict[str, bytes]) -> None:
    plan, path = small_plan(), tmp_path / "a"

    def interrupt(store: Any, count: int) -> None:
        if count == 3:
            store._session.writer.drain()
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(path, plan, after=interrupt)
    assert not (path / "extraction.lock").exists()
    assert journaled(path) >= 5
    assert contents(extract(path, plan)) == good


@pytest.mark.parametrize("damage", ["torn", "garbage", "binary", "long_line"])
def test_a_torn_journal(tmp_path: Path, good: dict[str, bytes], damage: str) -> None:
    plan, path = small_plan(), tmp_path / "a"
    with open_store(path, plan, FINGERPRINT) as store:
        for batch in plan.batches[:4]:
            store.write(batch, all_states(plan, batch))
    journal = path / "extraction.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    ends = {
        "torn": lines[4][:-5],
        "garbage": b'{"batch": "x"}\n' + lines[4],
        "binary": bytes(600),
        "long_line": b'{"batch": 3',
    }
    journal.write_bytes(b"".join(lines[:4]) + ends[damage])
    with open_store(path, plan, FINGERPRINT) as store:
        assert store.pending_batches() == plan.batches[3:]
    assert contents(extract(path, plan)) == good


@pytest.mark.parametrize("damage", ["cut", "longer", "removed", "header", "link"])
def test_a_partial_shard_that_is_not_the_plans_is_written_again(
    tmp_path: Path, good: dict[str, bytes], damage: str
) -> None:
    plan, path = small_plan(), tmp_path / "a"
    with open_store(path, plan, FINGERPRINT) as store:
        for batch in plan.batches:
            store.write(batch, all_states(plan, batch))
    shard = path / "hidden_states_layer2_shard001.safetensors.partial"
    data = shard.read_bytes()
    if damage == "cut":
        shard.write_bytes(data[:-1])
    elif damage == "longer":
        shard.write_bytes(data + b"\0")
    elif damage == "header":
        shard.write_bytes(bytes(8) + data[8:])
    else:
        shard.unlink()
        if damage == "link":
            shard.symlink_to("nowhere")
    with open_store(path, plan, FINGERPRINT) as store:
        lost = {number for number in range(len(plan.samples)) if plan.shard_of(number) == 1}
        hit = tuple(batch for batch in plan.batches if lost & set(batch.samples))
        assert store.pending_batches() == hit
        assert 0 < len(hit) < len(plan.batches)
    assert contents(extract(path, plan)) == good


@pytest.mark.parametrize("renamed", range(0, 8, 3))
def test_killed_between_the_final_names(
    tmp_path: Path, good: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    plan, path = small_plan(), tmp_path / "a"
    with open_store(path, plan, FINGERPRINT) as store:
        for batch in plan.batches:
            store.write(batch, all_states(plan, batch))
        monkeypatch.setattr(os, "replace", counting(os.replace, [renamed]))
        with pytest.raises(OutputError, match="No space left"):
            store.commit(model="fake")
        monkeypatch.undo()
    assert len(list(path.glob("*.safetensors"))) == renamed
    assert not (path / "config.json").exists()
    with open_store(path, plan, FINGERPRINT) as store:
        assert not store.pending_batches()
    # One that has its final name already is damaged: it is written again, the others stand.
    (path / "hidden_states_layer2_shard000.safetensors").write_bytes(b"")
    assert contents(extract(path, plan)) == good


def test_a_batch_number_that_damage_changed_is_not_believed(
    tmp_path: Path, good: dict[str, bytes]
) -> None:
    plan = small_plan()

    def stop(store: object, count: int) -> None:
        while journaled(tmp_path / "out") < count + 2:
            time.sleep(0.01)
        if count == 1:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011  the test's own
        extract(tmp_path / "out", plan, after=stop)
    path = tmp_path / "out" / "extraction.journal"
    first, *lines = path.read_text().splitlines()
    entry = json.loads(lines[-1])
    other = next(number for number in range(len(plan.batches)) if number > entry["batch"] + 1)
    path.write_text("\n".join([first, *lines[:-1], json.dumps({**entry, "batch": other}), ""]))
    assert contents(extract(tmp_path / "out", plan)) == good
