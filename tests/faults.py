"""System calls that fail: the N-th of those that change a file, with an errno or by a kill.

Every write of Spectra goes through `os` or through a stream that `os.fdopen` or `io.open` gave;
`failing` counts these calls, of all threads, and lets one fail. A write that fails has put half of
its bytes there first. Flushes do nothing otherwise: only a power cut would miss them, and they are
slow.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from spectra.errors import SpectraError

Act = Literal["full", "EIO", "kill"]
"""The disk is full from the N-th call on; one call meets an error; the process is killed at it."""

ROUNDS = int(os.environ.get("SPECTRA_ROUNDS", "10"))
"""How often tests kill a process at a random moment."""

REMOVABLE = re.compile(r"\.spectra-[0-9a-f]{16}\.tmp|[a-z]+\.lock")
"""What a killed process may leave beside whole files."""

FREEING = {"unlink", "rmdir"}
CALLS = (
    "open",
    "write",
    "pwrite",
    "posix_fallocate",
    "ftruncate",
    "truncate",
    "fsync",
    "fdatasync",
    "replace",
    "rename",
    "mkdir",
    *sorted(FREEING),
)
_CHANGING = os.O_CREAT | os.O_WRONLY | os.O_RDWR


class Faults:
    """Counts calls and fails at one of them.

    Attributes:
        calls: how many there were.
        failed: the name of the first that failed; None if none did.
    """

    def __init__(self, nth: int, act: Act) -> None:
        self.calls = 0
        self.failed: str | None = None
        self._nth, self._act = nth, act
        self._lock = threading.Lock()

    def meet(self, name: str, spoil: Callable[[], object] = lambda: None) -> None:
        """Count a call before it is made; where it is to fail, `spoil` and fail."""
        if self._act == "full" and name in FREEING:
            return
        with self._lock:
            self.calls += 1
            if self.calls < self._nth or (self._act == "EIO" and self.failed):
                return
            self.failed = self.failed or name
        spoil()
        if self._act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = errno.ENOSPC if self._act == "full" else errno.EIO
        raise OSError(number, os.strerror(number))


@contextmanager
def failing(nth: int, act: Act) -> Iterator[Faults]:
    """Within the block the `nth` call, from 1 on, meets its end."""
    faults = Faults(nth, act)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            if hasattr(os, name):
                patch.setattr(os, name, _counted(name, getattr(os, name), faults))
        patch.setattr(os, "fdopen", _opener(os.fdopen, faults))
        patch.setattr(io, "open", _opener(io.open, faults))
        yield faults


@contextmanager
def unflushed() -> Iterator[None]:
    """Within the block flushes do nothing, and nothing fails."""
    with failing(sys.maxsize, "EIO"):
        yield


def _counted(name: str, original: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if name == "open" and not args[1] & _CHANGING:
            return original(*args, **kwargs)
        if name in ("write", "pwrite"):
            handle, data, *offset = args
            faults.meet(name, lambda: original(handle, bytes(data)[: len(data) // 2], *offset))
        else:
            faults.meet(name)
        return None if name.endswith("sync") else original(*args, **kwargs)

    return wrapped


def _opener(original: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            half = bytes(data)[: len(data) // 2]
            faults.meet("write", lambda: super(Raw, self).write(half))
            return super().write(data)

    def wrapped(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wxa+"):
            return original(file, mode, *args, **kwargs)
        if not isinstance(file, int):
            faults.meet("open")
        raw = Raw(file, mode.replace("b", "").replace("t", ""))
        if kwargs.get("buffering") == 0 or args[:1] == (0,):  # pathlib passes it by position
            return raw
        stream = io.BufferedWriter(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, **kwargs)

    return wrapped


def contents(path: Path) -> dict[str, bytes]:
    """Every file under `path` by its relative name, what a killed process may leave aside."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and not REMOVABLE.fullmatch(file.name)
    }


def leftovers(path: Path) -> list[str]:
    """What a killed process may leave, and has left."""
    return [file.name for file in path.rglob("*") if REMOVABLE.fullmatch(file.name)]


def restore(path: Path, saved: Path | None) -> None:
    """Make `path` the copy of a saved directory, or nothing."""
    if path.exists():
        shutil.rmtree(path)
    if saved is not None:
        shutil.copytree(saved, path)


def caught(task: Callable[[], object]) -> SpectraError | None:
    """The deliberate error that this ends with, if any."""
    try:
        task()
    except SpectraError as error:
        return error
    return None


def is_clean(error: SpectraError) -> bool:
    """Whether it says what cannot be written."""
    return error.exit_code == 3 and "cannot be written: " in str(error)
