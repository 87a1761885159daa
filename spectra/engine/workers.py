"""Threads that a layer's solves share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from spectra.backend import usable_cores
from spectra.engine.clock import Clock
from spectra.engine.dealing import Deal
from spectra.linalg import Fault

Result = TypeVar("Result")


class Workers:
    """A thread a core; as many tasks wait as are under way, and who brings more waits, too.

    So what comes after a task overlaps with it, and what tasks hold in memory stays bounded.
    """

    def __init__(self, clock: Clock, deal: Deal | None = None) -> None:
        """Threads start with their first tasks; what solvers do is counted by `clock`.

        Where other processes have workers too, tasks are dealt out by `deal`.
        """
        self.clock, self.deal = clock, deal or Deal()
        self._threads = ThreadPoolExecutor(usable_cores())
        self._room = threading.Semaphore(2 * usable_cores())
        self._noting = threading.Lock()
        self.repairs: Counter[Fault] = Counter()
        """How many spectra an SVD of their rows stands in for, by what was wrong with them."""

    def submit(self, task: Callable[[], Result]) -> Future[Result]:
        """Begin a task when there is room for it."""
        self._room.acquire()
        future = self._threads.submit(task)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def note_repair(self, fault: Fault) -> None:
        """Count a spectrum that did not serve."""
        with self._noting:
            self.repairs[fault] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for what is under way; begins nothing else."""
        self._threads.shutdown(cancel_futures=True)
