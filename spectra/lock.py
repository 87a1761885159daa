"""One run a directory: an advisory lock that the operating system frees when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spectra.atomic import discard_empty, make_directory, output_error
from spectra.errors import DirectoryBusyError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_ATTEMPTS = 100
"""To take a lock while others take it and let it go."""


@contextmanager
def locked(directory: Path, name: str, *, required: bool = True) -> Iterator[None]:
    """Hold the lock that the directory's file `name` stands for; the directory is made.

    The file tells process and host, and is gone afterwards, as is a directory that was made for it
    and stayed empty. One that a killed process left binds nobody.

    Args:
        directory: Of what is written.
        name: One for each kind of work that no two processes may do there at once.
        required: Whether to refuse a file system that has no locks, or to go on without.

    Raises:
        DirectoryBusyError: Another process holds the lock.
        OutputError: The lock cannot be made.
    """
    made: list[Path] = []
    path, handle = directory / name, None
    try:
        handle = _acquire(path, made, required=required)
        yield
    finally:
        # Removed while still held: whoever waits with the old file open sees that it is gone.
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)
        discard_empty(made)


def _acquire(path: Path, made: list[Path], *, required: bool) -> int:
    """The open file, locked; the directories above it that were made go to `made`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    for _ in range(_ATTEMPTS):
        made += make_directory(path.parent)
        try:
            handle = os.open(path, flags, 0o644)
        except FileNotFoundError:
            continue  # its last holder removed the directory just now
        except OSError as error:
            raise output_error(path, error) from None
        try:
            _lock(handle, path, required=required)
            if _is_at(handle, path):
                _sign(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed the file between our opening and our locking it
    raise _busy(path, "several processes")


def _lock(handle: int, path: Path, *, required: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
        raise _busy(path, holder or "another process") from None
    except OSError as error:
        if required or error.errno not in _NO_LOCKS:
            raise output_error(path, error) from None


def _sign(handle: int) -> None:
    """Say who holds the lock; a full disk shall not keep anybody from holding it."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def _busy(path: Path, holder: str) -> DirectoryBusyError:
    return DirectoryBusyError(
        f"{path.parent} is being written by {holder}. Expected one run at a time in a directory: "
        "wait for it, stop it, or choose another directory."
    )


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
