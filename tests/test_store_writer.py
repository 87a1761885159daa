"""The background writer: order, bounds, errors; and that the journal never runs ahead."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extract.store import open_store
from extract.store.writer import BackgroundWriter
from spectra.errors import OutputError
from tests.store_cases import FINGERPRINT, all_states, contents, extract, small_plan, traces

FOREVER = 1000.0


@contextmanager
def writer(
    settle: Callable[[], None] = lambda: None, *, limit: int = 100, interval: float = FOREVER
) -> Iterator[BackgroundWriter]:
    made = BackgroundWriter(settle, limit=limit, interval=interval)
    try:
        yield made
    finally:
        made.close(discard=True)


def test_tasks_run_in_order_on_one_thread() -> None:
    seen: list[tuple[int, str]] = []

    def note(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    with writer() as w:
        for number in range(20):
            w.submit(partial(note, number), 10)
        w.drain()
    assert seen == [(n, "shard-writer") for n in range(20)]


def test_the_queue_is_bounded_in_bytes() -> None:
    held = most = 0
    lock = threading.Lock()

    def task(size: int) -> None:
        nonlocal held
        time.sleep(0.001)
        with lock:
            held -= size

    with writer(limit=100) as w:
        for size in [40, 40, 40, 5, 90, 100, 1, 99, 60, 60]:
            w.submit(partial(task, size), size)
            with lock:
                held += size
                most = max(most, held)
        w.drain()
    assert most <= 100


def test_a_task_larger_than_the_bound_runs_alone() -> None:
    done: list[int] = []
    with writer(limit=10) as w:
        w.submit(lambda: done.append(1), 1000)
        w.submit(lambda: done.append(2), 1)
        w.drain()
    assert done == [1, 2]


def fail() -> None:
    raise OutputError("the disk is full")


def test_an_error_comes_back_at_the_next_call_and_at_all_later_ones() -> None:
    later: list[int] = []
    with writer() as w:
        w.submit(fail, 1)
        w._thread.join()
        for _ in range(2):
            with pytest.raises(OutputError, match="disk is full"):
                w.submit(lambda: later.append(1), 1)
            with pytest.raises(OutputError, match="disk is full"):
                w.drain()
    assert not later


def test_an_error_wakes_who_waits_for_room() -> None:
    gate = threading.Event()

    def fail_later() -> None:
        gate.wait()
        fail()

    with writer(limit=1) as w:
        w.submit(fail_later, 1)
        threading.Timer(0.05, gate.set).start()
        with pytest.raises(OutputError):
            w.submit(lambda: None, 1)


def test_nothing_is_settled_after_an_error() -> None:
    """What failed to be flushed once can look flushed the second time."""
    settled: list[int] = []
    with writer(lambda: settled.append(1)) as w:
        w.submit(lambda: None, 1)
        w.submit(fail, 1)
        with pytest.raises(OutputError):
            w.drain()
    assert not settled


def test_settles_after_the_interval_without_another_call() -> None:
    settled = threading.Event()
    with writer(settled.set, interval=0.01) as w:
        w.submit(lambda: None, 1)
        assert settled.wait(10)


def test_settles_amid_a_stream_of_tasks() -> None:
    settled: list[int] = []
    with writer(lambda: settled.append(1), interval=0.01, limit=2) as w:
        for _ in range(30):
            w.submit(lambda: time.sleep(0.002), 1)
        assert settled


def test_draining_and_closing_settle_once() -> None:
    settled: list[int] = []
    with writer(lambda: settled.append(1)) as w:
        w.drain()
        assert settled == []
        w.submit(lambda: None, 1)
        w.drain()
        w.drain()
        assert settled == [1]
        w.submit(lambda: None, 1)
    assert settled[1:] in ([], [1])  # the last task may have been dropped


def test_closing_may_finish_the_queue() -> None:
    done: list[int] = []
    made = BackgroundWriter(lambda: None, limit=100, interval=FOREVER)
    for number in range(5):
        made.submit(partial(done.append, number), 1)
    made.close(discard=False)
    assert done == list(range(5))


# ---- in the store -----------------------------------------------------------------------------


class DeviceArray:
    """Stands in for an array on a device: says when and where it was copied."""

    def __init__(self, states: NDArray[Any], log: list[str]) -> None:
        self._states, self._log = states, log
        self.shape, self.dtype, self.nbytes = states.shape, states.dtype, states.nbytes

    def copy_to_host_async(self) -> None:
        self._log.append(f"begin in {threading.current_thread().name}")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        self._log.append(f"wait in {threading.current_thread().name}")
        return self._states


def test_copies_begin_at_once_and_are_awaited_by_the_writer(tmp_path: Path) -> None:
    plan, log = small_plan(traces(7)), list[str]()
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        for batch in plan.batches:
            states: Any = {k: DeviceArray(v, log) for k, v in all_states(plan, batch).items()}
            store.write(batch, states)
        path = store.commit(model="fake", config_extra={"note": "kept"})
    assert set(log) == {"begin in MainThread", "wait in shard-writer"}
    assert contents(path) == contents(extract(tmp_path / "b", plan))


def test_an_error_of_the_device_is_the_callers(tmp_path: Path) -> None:
    class Broken(DeviceArray):
        def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
            raise RuntimeError("out of memory")

    plan = small_plan(traces(7))
    batch = plan.batches[0]
    states: Any = {k: Broken(v, []) for k, v in all_states(plan, batch).items()}
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        open_store(tmp_path / "a", plan, FINGERPRINT) as store,
    ):
        store.write(batch, states)


def test_the_journal_follows_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each line of the journal, all that was written before has been flushed."""
    dirty: set[int] = set()
    lines: list[set[int]] = []
    pwrite, write = os.pwrite, os.write
    fdatasync = getattr(os, "fdatasync", os.fsync)

    def spy_pwrite(handle: int, *args: Any) -> int:
        dirty.add(os.fstat(handle).st_ino)
        return pwrite(handle, *args)

    def spy_fdatasync(handle: int) -> None:
        dirty.discard(os.fstat(handle).st_ino)
        fdatasync(handle)

    def spy_write(handle: int, data: bytes) -> int:
        if data.startswith(b'{"batch"'):
            lines.append(set(dirty))
        return write(handle, data)

    plan = small_plan(traces(7))
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        monkeypatch.setattr(os, "pwrite", spy_pwrite)
        monkeypatch.setattr(os, "fdatasync", spy_fdatasync, raising=False)
        monkeypatch.setattr(os, "write", spy_write)
        for batch in plan.batches:
            store.write(batch, all_states(plan, batch))
            store._session.writer.drain()  # type: ignore[union-attr]
    assert lines == [set()] * len(plan.batches)


def test_more_shards_than_handles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are closed, flushed, before too many are open."""
    monkeypatch.setattr("extract.store.shards._MOST_HANDLES", 3)
    plan = small_plan(shard_rows=1)
    assert plan.totals.files == 46
    most = 0

    def count(store: Any, number: int) -> None:
        nonlocal most
        store._session.writer.drain()
        most = max(most, len(store._session.files._handles))

    path = extract(tmp_path / "a", plan, after=count)
    assert most <= 3
    monkeypatch.undo()
    assert contents(path) == contents(extract(tmp_path / "b", plan))


def test_large_rows_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system may take less than it is given."""
    plan = small_plan(traces(7))
    good = contents(extract(tmp_path / "a", plan))
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, at: pwrite(handle, data[:5], at))
    assert contents(extract(tmp_path / "b", plan)) == good


def test_rows_need_not_be_contiguous(tmp_path: Path) -> None:
    plan = small_plan(traces(7))
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        for batch in plan.batches:
            states = all_states(plan, batch)
            store.write(batch, {k: np.asfortranarray(v) for k, v in states.items()})
        path = store.commit(model="fake", config_extra={"note": "kept"})
    assert contents(path) == contents(extract(tmp_path / "b", plan))
