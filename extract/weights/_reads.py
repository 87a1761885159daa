"""Reading a tensor's bytes from the file that was checked, and from no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.errors import ShardChangedError
from spectra.files import Identity, identity_of, open_for_reading, read_into


def read_array(
    path: Path, identity: Identity, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The array [*shape] of `dtype` whose bytes begin at `offset`, copied once.

    Raises `ShardChangedError` if the file is not the one of `identity` or ends too early,
    `UnreadableFileError`.
    """
    out = np.empty(shape, dtype)
    handle = open_for_reading(path)
    try:
        if identity_of(os.fstat(handle)) != identity:
            raise ShardChangedError(
                f"{path} changed after it was opened: its size, time or inode is another. "
                "Stop whatever writes to it and run again."
            )
        # bfloat16 has no buffer-protocol format, bytes have.
        read_into(handle, out.reshape(-1).view(np.uint8).data, offset, path)
    finally:
        os.close(handle)
    return out
