"""Writing files so that a reader finds the whole old one or the whole new one.

A temporary in the same directory is written, flushed to the disk and renamed over the final name,
then the directory itself is flushed. A killed process leaves at most a file named
`.spectra-….tmp`, which may be deleted.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from spectra.errors import OutputError


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`, replacing what is there; raises `OutputError`."""
    with replacing(path) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file at `path` when the block ends without an exception.

    Otherwise the temporary is removed and `path` is as it was. The mode is 0644 less the umask. Of
    a symbolic link the file that it points to is replaced.
    Raises `OutputError` when the operating system refuses, or when something else than a file
    stands at `path`.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OutputError(
            f"{path} is there and is not a regular file; it stays as it is. Choose another name."
        )
    temporary = path.parent / f".spectra-{secrets.token_hex(8)}.tmp"
    try:
        with os.fdopen(_create(temporary), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        _discard(temporary)
        if isinstance(error, OSError):
            raise output_error(path, error) from None
        raise


def sync_directory(path: Path) -> None:
    """Flush a directory, so that a rename or removal in it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def output_error(path: Path, error: OSError) -> OutputError:
    """The error to raise when the operating system refuses to write `path`."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}. What stands under that "
        "name is whole. Check the disk's free space and the directory's permissions, and run again."
    )


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _discard(path: Path) -> None:
    # The error that brought us here tells the user more than a second one would.
    with suppress(OSError):
        path.unlink(missing_ok=True)
