"""Temporaries: files that take a final name when they are whole.

A killed process leaves its own behind. Whoever writes the same file next removes them, and must
not remove one that is being written. So the name has a hash of the host and of the final name, and
its writer holds an advisory lock on it, which the operating system frees when the writer dies.
What another host left stays, for not every network's file system tells of its locks.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"\.spectra-[0-9a-f]{16}\.tmp")
_ATTEMPTS = 100


@contextmanager
def staged(target: Path, within: Path | None = None) -> Iterator[tuple[BinaryIO, Path]]:
    """A stream to a new temporary of `target`, and its path; locked until the block ends.

    Args:
        target: The final name.
        within: The temporary's directory; that of `target` by default.

    Raises:
        OSError: It cannot be made.
    """
    directory = target.parent if within is None else within
    remove_abandoned(target, directory)
    path, handle = _new(target, directory)
    with os.fdopen(handle, "wb") as stream:
        yield stream, path


def remove_abandoned(target: Path, directory: Path) -> None:
    """Remove what writers of `target` on this host left in a directory and hold no more."""
    with suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(_prefix(target)) and is_temporary(name):
                _remove_if_free(directory / name)


def is_temporary(name: str) -> bool:
    """Whether this names a temporary, of whatever file."""
    return _NAME.fullmatch(name) is not None


def in_use(path: Path) -> bool:
    """Whether a process holds the temporary; False where the file system has no locks."""
    try:
        handle = _locked(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    os.close(handle)
    return False


def sync(stream: BinaryIO) -> None:
    """Return when all that was written is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def _prefix(target: Path) -> str:
    key = f"{socket.gethostname()}\0{target.name}"
    return f".spectra-{hashlib.sha256(os.fsencode(key)).hexdigest()[:8]}"


def _new(target: Path, directory: Path) -> tuple[Path, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    for attempt in range(1, _ATTEMPTS + 1):
        path = directory / f"{_prefix(target)}{secrets.token_hex(4)}.tmp"
        try:
            handle = os.open(path, flags, 0o644)
        except FileExistsError:
            if attempt == _ATTEMPTS:
                raise
            continue
        if _hold(handle, path) or attempt == _ATTEMPTS:
            return path, handle
        os.close(handle)  # another process took it for abandoned before it was locked
    raise AssertionError


def _hold(handle: int, path: Path) -> bool:
    """Lock a new file; whether it is still there. Where there are no locks, nobody removes it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.path.lexists(path)


def _remove_if_free(path: Path) -> None:
    with suppress(OSError):  # in use, gone, no file, or there are no locks: it stays
        handle = _locked(path)
        try:
            path.unlink()
        finally:
            os.close(handle)


def _locked(path: Path) -> int:
    """The regular file, open and locked; raises `OSError`."""
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle
