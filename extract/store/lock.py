"""One run a directory: an advisory lock that the operating system frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from extract.store.errors import StoreBusyError, interrupted

LOCK_NAME = "extraction.lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; its file tells process and host, and is gone afterwards.

    Raises `StoreBusyError` when another run holds it, `OutputError` when it cannot be made.
    """
    path = directory / LOCK_NAME
    try:
        handle = _acquire(path)
    except OSError as error:
        raise interrupted(path, error) from None
    try:
        yield
    finally:
        # Removed while still held: whoever waits with the old file open sees that it is gone.
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(handle, path)
            if _is_at(handle, path):
                holder = f"process {os.getpid()} on {socket.gethostname()}\n"
                os.truncate(handle, 0)
                os.pwrite(handle, holder.encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed the file between our opening and our locking it


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
        raise StoreBusyError(
            f"{path.parent} is being written by {holder}. Expected one run at a time in a "
            "directory: wait for it, stop it, or choose another directory."
        ) from None


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
