"""Batches side by side: in turn, bounded, and with every fault of theirs."""

from __future__ import annotations

import threading
import time

import jax
import pytest

from extract.decoder.streams import side_by_side, streams_on
from spectra.backend import usable_cores


class Work:
    """Items that end in another order than they begin; item `faulty` fails."""

    def __init__(self, faulty: int = -1) -> None:
        self._faulty = faulty
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.begun: list[int] = []

    def __call__(self, item: int) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.begun.append(item)
        time.sleep(0.02 if item % 3 == 0 else 0.001)
        with self._lock:
            self._now -= 1
        if item == self._faulty:
            raise RuntimeError(f"item {item}")
        return item**2


@pytest.mark.parametrize("streams", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_results_come_in_turn(streams: int, count: int) -> None:
    work = Work()
    assert list(side_by_side(work, range(count), streams)) == [(i, i**2) for i in range(count)]
    assert work.most <= streams


def test_they_do_run_side_by_side() -> None:
    meet = threading.Barrier(2, timeout=30)
    assert [i for i, _ in side_by_side(lambda _: meet.wait(), range(4), 2)] == [0, 1, 2, 3]


def test_no_more_is_begun_than_was_taken() -> None:
    work = Work()
    results = side_by_side(work, range(100), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(work.begun) <= 3


def test_a_fault_comes_in_its_turn_and_ends_the_work() -> None:
    work = Work(faulty=4)
    results = side_by_side(work, range(100), 2)
    assert [next(results)[0] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="item 4"):
        next(results)
    assert max(work.begun) <= 7


def test_streams_on_devices() -> None:
    cpus = jax.devices("cpu")
    assert streams_on(cpus[:1]) == min(8, usable_cores())
    assert streams_on(cpus[:2]) == 1
