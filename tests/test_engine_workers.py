"""Workers: bounded, side by side, and with every fault of theirs."""

from __future__ import annotations

import threading

import pytest

from spectra.backend import usable_cores
from spectra.engine.clock import Clock
from spectra.engine.workers import Workers


def test_results_and_faults_reach_who_asked() -> None:
    with Workers(Clock()) as workers:
        fine = workers.submit(lambda: 7)
        broken = workers.submit(lambda: 1 // 0)
        assert fine.result(30) == 7
        with pytest.raises(ZeroDivisionError):
            broken.result(30)


def test_who_brings_more_than_fits_waits() -> None:
    may_go, brought = threading.Event(), []

    def bring(workers: Workers) -> None:
        for number in range(2 * usable_cores() + 1):
            workers.submit(lambda: may_go.wait(30))
            brought.append(number)

    with Workers(Clock()) as workers:
        bringer = threading.Thread(target=bring, args=(workers,))
        bringer.start()
        bringer.join(0.2)
        assert bringer.is_alive()
        assert len(brought) == 2 * usable_cores()
        may_go.set()
        bringer.join(30)
        assert len(brought) == 2 * usable_cores() + 1


def test_tasks_run_side_by_side() -> None:
    meet = threading.Barrier(usable_cores(), timeout=30)
    with Workers(Clock()) as workers:
        futures = [workers.submit(meet.wait) for _ in range(usable_cores())]
        assert sorted(future.result(30) for future in futures) == list(range(usable_cores()))


def test_leaving_begins_nothing_else() -> None:
    begun, may_go = threading.Event(), threading.Event()
    done: list[int] = []

    def first() -> None:
        begun.set()
        may_go.wait(30)

    with Workers(Clock()) as workers:
        for _ in range(usable_cores()):
            workers.submit(first)
        waiting = workers.submit(lambda: done.append(1))
        assert begun.wait(30)
        threading.Timer(0.1, may_go.set).start()
    assert waiting.cancelled() or done == [1]
    assert waiting.done()
