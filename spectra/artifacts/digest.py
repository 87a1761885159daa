"""The size and SHA-256 of a file, as it was at one moment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from spectra.errors import ShardChangedError
from spectra.files import identity_of, open_for_reading, stat_regular, unreadable

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file's size in bytes and its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


def digest_of(name: str, content: bytes) -> FileDigest:
    """Of bytes that were read already."""
    return FileDigest(name, len(content), hashlib.sha256(content).hexdigest())


def digest_file(directory: Path, name: str) -> FileDigest:
    """Of the regular file `name` in `directory`, read at offsets.

    Raises what `spectra.files` raises, and `ShardChangedError` where it is written to meanwhile.
    """
    path = directory / name
    before = stat_regular(path)
    handle = open_for_reading(path)
    found, size = hashlib.sha256(), 0
    try:
        while block := os.pread(handle, _BLOCK, size):
            found.update(block)
            size += len(block)
        after = os.fstat(handle)
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(handle)
    if identity_of(before) != identity_of(after) or size != after.st_size:
        raise ShardChangedError(
            f"{path} changed while it was hashed: it had {before.st_size:,} bytes and has "
            f"{after.st_size:,} now, with another time or inode. Stop whatever writes to it and "
            "run again."
        )
    return FileDigest(name, size, found.hexdigest())
