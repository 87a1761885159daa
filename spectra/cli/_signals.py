"""Ctrl-C, SIGTERM and SIGHUP end a command in order; a second of them ends it at once.

The first raises an exception in the main thread, so that temporaries and locks are removed and what
is finished is kept. That waits for whatever runs in native code, and may take a while; so a thread
that does not wait looks out for the second. What follows the first within `SAME` seconds is the
same request: `timeout` and batch systems signal the process and its group.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME = 0.5
_AGAIN = 0.05
_SHOW_CURSOR = b"\x1b[?25h\n"

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + self.signum


class Listener:
    """Handles `SIGNALS` from `listen` to `close`; those that are ignored stay ignored."""

    def __init__(self) -> None:
        self.stopped: Stopped | None = None
        self._raised = False
        self._repeats = 0  # signals of our own making that are on their way to the watcher
        self._before: dict[signal.Signals, _Handler] = {}
        self._hook = sys.unraisablehook

    def listen(self) -> None:
        """Begin; only the main thread may."""
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reads,), daemon=True).start()
        sys.unraisablehook = self._unraisable
        for signum in SIGNALS:
            handler = signal.getsignal(signum)
            if handler is not signal.SIG_IGN:
                self._before[signum] = handler
                signal.signal(signum, self._handle)

    def close(self) -> None:
        """Handle signals as before."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        sys.unraisablehook = self._hook
        os.close(signal.set_wakeup_fd(-1))  # which ends the watcher

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._raised:
            self._raised = True
            self.stopped = self.stopped or Stopped(signum)
            raise self.stopped

    def _unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """Raise again what came up in a callback, such as one of JAX's, and was dropped there."""
        if lost.exc_value is None or lost.exc_value is not self.stopped:
            self._hook(lost)
            return
        self._raised = False
        self._repeats += 1
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), self.stopped.signum))
        again.daemon = True
        again.start()

    def _watch(self, reads: int) -> None:
        first: float | None = None
        while data := os.read(reads, 1):
            signum = data[0]
            if signum not in self._before:
                continue
            if self._repeats:
                self._repeats -= 1
            elif first is None:
                first = time.monotonic()
            elif time.monotonic() - first > SAME:
                self._end_at_once(Stopped(signum))
        os.close(reads)

    def _end_at_once(self, stop: Stopped) -> None:
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else b""
        with suppress(OSError):
            os.write(2, cursor + f"Stopped at once by {stop}.\n".encode())
        os._exit(stop.exit_code)
