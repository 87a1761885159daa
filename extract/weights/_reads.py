"""Reading a tensor's bytes from the file that was checked, and from no other.

Files are read at offsets, never mapped: the pages of a mapped file count as memory of this process
for as long as it is mapped, and a mapped file that is cut short kills its reader.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts._header import identity_of
from spectra.errors import ShardChangedError
from spectra.files import unreadable

Identity = tuple[int, int, int, int]
"""A file's device, inode, size and time of change, as `identity_of` gives them."""

_LARGEST_READ = 1 << 30
"""Linux transfers at most 2 GiB less a page in one call."""


def read_array(
    path: Path, identity: Identity, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The array [*shape] of `dtype` whose bytes begin at `offset`, copied once.

    Raises `ShardChangedError` if the file is not the one of `identity` or ends too early.
    """
    out = np.empty(shape, dtype)
    # bfloat16 has no buffer-protocol format, bytes have.
    target = out.reshape(-1).view(np.uint8).data
    try:
        with open(path, "rb", buffering=0) as stream:
            if identity_of(os.fstat(stream.fileno())) != identity:
                raise _changed(path)
            stream.seek(offset)
            _fill(stream, target, path)
    except OSError as error:
        raise unreadable(path, error) from None
    return out


def _fill(stream: FileIO, target: memoryview, path: Path) -> None:
    done = 0
    while done < len(target):
        count = stream.readinto(target[done : done + _LARGEST_READ])
        if not count:
            raise _changed(path)
        done += count


def _changed(path: Path) -> ShardChangedError:
    return ShardChangedError(
        f"{path} changed after it was opened: its size, time or inode is another. "
        "Stop whatever writes to it and run again."
    )
