"""Looking at a file before opening it, and reading it at offsets.

Opening a FIFO blocks for ever and opening a device can do anything, so every file that Spectra
reads passes `stat_regular` first. Symbolic links are fine: download caches are made of them.

Large files are read at offsets and never mapped: the pages of a mapped file count as memory of this
process, and one that another process cuts short kills its reader with SIGBUS, where a read just
comes back short.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from spectra.errors import (
    FileTooLargeError,
    GitLfsPointerError,
    MissingFileError,
    NotARegularFileError,
    ShardChangedError,
    UnreadableFileError,
)

Identity = tuple[int, int, int, int]
"""A file's device, inode, size and time of change: one of them changes with the file."""

_LARGEST_READ = 1 << 30
"""Linux transfers at most 2 GiB less a page in one call."""

_LFS_MAGIC = b"version https://git-lfs"

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def stat_regular(path: Path) -> os.stat_result:
    """The status of the regular file at `path` (symbolic links followed).

    Raises `MissingFileError`, `NotARegularFileError` or `UnreadableFileError`.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(
            f"{path} does not exist (or is a dangling link). Check the path, or fetch the file."
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise NotARegularFileError(
            f"{path} is {_KINDS.get(kind, 'a special file')}; expected a regular file. "
            "Put the file itself there."
        )
    return status


def unreadable(path: Path, error: OSError) -> UnreadableFileError:
    """The error to raise when the operating system refuses `path`."""
    return UnreadableFileError(
        f"{path} cannot be read: {error.strerror or error}. Check its permissions and its disk."
    )


def identity_of(status: os.stat_result) -> Identity:
    """What changes when a file is replaced, cut or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_for_reading(path: Path) -> int:
    """A file descriptor; raises `UnreadableFileError`."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error) from None


def read_into(handle: int, target: memoryview, offset: int, path: Path) -> None:
    """Fill `target` with the bytes of the open file from `offset` on; `path` names it in errors.

    Safe from several threads at once. Raises `ShardChangedError` where the file ends too early,
    `UnreadableFileError`.
    """
    done = 0
    while done < len(target):
        try:
            count = _read_at(handle, target[done : done + _LARGEST_READ], offset + done)
        except OSError as error:
            raise unreadable(path, error) from None
        if not count:
            raise ShardChangedError(
                f"{path} ended at byte {offset + done} while it was read; expected "
                f"{len(target) - done} more. It was cut short during the run: stop whatever "
                "writes to it and run again."
            )
        done += count


def _read_at(handle: int, target: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(handle, [target], offset)
    data = os.pread(handle, len(target), offset)
    target[: len(data)] = data
    return len(data)


def refuse_lfs_pointer(path: Path, head: bytes) -> None:
    """Raise `GitLfsPointerError` when a file's first bytes are those of a Git-LFS pointer."""
    if head.startswith(_LFS_MAGIC):
        raise GitLfsPointerError(
            f"{path} is a Git-LFS pointer, not the data: the repository was cloned without its "
            "large files. Run `git lfs pull` in the clone, or download the file itself."
        )


def read_capped(path: Path, max_bytes: int) -> bytes:
    """The whole of the regular file at `path`, refused when longer than `max_bytes`."""
    size = stat_regular(path).st_size
    if size > max_bytes:
        raise FileTooLargeError(
            f"{path} has {size:,} bytes; a file of this kind may have at most {max_bytes:,}. "
            "Check that it is the right file."
        )
    try:
        with open(path, "rb") as stream:
            data = stream.read(max_bytes)
    except OSError as error:
        raise unreadable(path, error) from None
    refuse_lfs_pointer(path, data)
    return data
