"""One thread that writes while the model computes, and reports to the journal now and then.

Tasks run in the order given and wait in a queue bounded in bytes. After the first error nothing
runs any more: what failed to reach the disk once may seem to be there when asked again. The error
is raised by the next call that the caller makes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

Task = Callable[[], None]


class BackgroundWriter:
    """Runs tasks on a thread of its own.

    Args:
        settle: Called on that thread at most `interval` seconds after a task, and before `drain`
            and `close` return: the place to flush what the tasks did.
        limit: Bytes that may wait; a larger task waits until it is alone.
        interval: Seconds.
    """

    def __init__(self, settle: Task, *, limit: int, interval: float) -> None:
        self._settle = settle
        self._limit = limit
        self._interval = interval
        self._queue: deque[tuple[Task, int]] = deque()
        self._bytes = 0  # of the queue and of the task that runs
        self._unsettled_since: float | None = None
        self._draining = self._closing = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        # A daemon: an interpreter that is told to stop twice shall not wait for a device.
        self._thread = threading.Thread(target=self._run, name="shard-writer", daemon=True)
        self._thread.start()

    def submit(self, task: Task, size: int) -> None:
        """Queue a task that holds `size` bytes; waits for room, raises an earlier task's error."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or not self._bytes or self._bytes + size <= self._limit
            )
            self._raise()
            self._queue.append((task, size))
            self._bytes += size
            self._changed.notify_all()

    def drain(self) -> None:
        """Return when all tasks have run and are settled; raises a task's error."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or not self._draining)
            self._raise()

    def close(self, *, discard: bool) -> None:
        """Stop the thread, after the queue or, to `discard` it, after the task that runs.

        What has run is settled. No error is raised: `drain` first to see it.
        """
        with self._changed:
            self._closing = True
            if discard:
                self._queue.clear()
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                task, size = item
                task()
                del task, item  # and with them the array, before its bytes are free for another
                self._done(size)
        except BaseException as error:  # whatever it is, the caller's thread is to raise it
            with self._changed:
                self._error = error
                self._queue.clear()
                self._changed.notify_all()

    def _next(self) -> tuple[Task, int] | None:
        """The next task, which may be to settle; None when closed and all is done."""
        with self._changed:
            while True:
                wait = self._until_settling()
                if wait is not None and wait <= 0:
                    self._unsettled_since = None
                    return self._settle, 0
                if self._queue:
                    task, size = self._queue.popleft()
                    self._unsettled_since = self._unsettled_since or time.monotonic()
                    return task, size
                if self._draining:
                    self._draining = False
                    self._changed.notify_all()
                if self._closing:
                    return None
                self._changed.wait(wait)

    def _until_settling(self) -> float | None:
        """Seconds until what has run must be settled; None when nothing is to be."""
        if self._unsettled_since is None:
            return None
        if not self._queue and (self._draining or self._closing):
            return 0.0
        return self._unsettled_since + self._interval - time.monotonic()

    def _done(self, size: int) -> None:
        with self._changed:
            self._bytes -= size
            self._changed.notify_all()
