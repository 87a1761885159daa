"""Batches side by side: in turn, bounded, and with every fault of theirs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import jax
import pytest

from extract.decoder.streams import lanes, side_by_side, streams_on
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
    assert list(side_by_side([work] * streams, range(count))) == [(i, i**2) for i in range(count)]
    assert work.most <= streams


def test_they_do_run_side_by_side() -> None:
    meet = threading.Barrier(2, timeout=30)
    assert [i for i, _ in side_by_side([lambda _: meet.wait()] * 2, range(4))] == [0, 1, 2, 3]


def test_no_more_is_begun_than_was_taken() -> None:
    work = Work()
    results = side_by_side([work] * 2, range(100))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(work.begun) <= 3


def test_a_fault_comes_in_its_turn_and_ends_the_work() -> None:
    work = Work(faulty=4)
    results = side_by_side([work] * 2, range(100))
    assert [next(results)[0] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="item 4"):
        next(results)
    assert max(work.begun) <= 7


def test_the_first_items_go_to_all_copies_and_each_works_on_one_at_a_time() -> None:
    works = [Work(), Work(), Work()]
    results = side_by_side(lanes(works, 1), range(30))
    assert list(results) == [(i, i**2) for i in range(30)]
    assert [work.most for work in works] == [1, 1, 1]
    assert all(len(work.begun) > 1 for work in works)
    assert sorted(item for work in works for item in work.begun) == list(range(30))


def test_an_item_goes_to_the_copy_that_is_free() -> None:
    go_on, fast = threading.Event(), Work()

    def slow(item: int) -> int:
        assert go_on.wait(30)
        return item**2

    copies: list[Callable[[int], int]] = [slow, fast, fast]
    results = side_by_side(copies, range(6))
    threading.Timer(0.3, go_on.set).start()
    assert list(results) == [(i, i**2) for i in range(6)]
    assert fast.begun[:3] == [1, 2, 3]


def test_copies_share_a_processors_streams() -> None:
    works = [Work(), Work()]
    assert lanes(works, 2) == [works[0], works[1], works[0], works[1]]
    assert [work.most for work in works] == [0, 0]


def test_streams_on_devices() -> None:
    cpus = jax.devices("cpu")
    assert streams_on(cpus[:1]) == min(8, usable_cores())
    assert streams_on(cpus[:2]) == 1
    assert streams_on(cpus[:1], copies=99) == 1
