"""Which rows hold NaN or infinity, at the speed of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK_BYTES = 1 << 20


def nonfinite_rows(raw: NDArray[Any]) -> NDArray[np.int64]:
    """Sorted numbers of the rows of raw [m, d], any float dtype, that hold NaN or infinity."""
    # What is looked at at a time, and the answer about it, stay in a cache.
    size = max(1, _CHUNK_BYTES // max(raw[:1].nbytes, 1))
    found = [np.empty(0, np.int64)]
    for start in range(0, len(raw), size):
        bad = _nonfinite(raw[start : start + size])
        if bad.any():
            found.append(np.flatnonzero(bad) + start)
    return np.concatenate(found)


def _nonfinite(raw: NDArray[Any]) -> NDArray[np.bool_]:
    if raw.dtype.itemsize == 2 and raw.dtype != np.float16:
        # bfloat16: all eight exponent bits set. Integer tests run at memory speed.
        exponent = raw.view(np.uint16) & np.uint16(0x7F80)
        if exponent.size == 0 or exponent.max() < 0x7F80:
            return np.zeros(len(raw), bool)
        return np.asarray((exponent == 0x7F80).any(axis=1))
    return np.asarray(~np.isfinite(raw).all(axis=1))
