"""Rows with NaN or infinity are found, whatever the type and however many rows there are."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from spectra.finite import _CHUNK_BYTES, nonfinite_rows

DTYPES = [ml_dtypes.bfloat16, np.float16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_is_found_in_every_chunk(dtype: Any) -> None:
    dim = 64
    rows = 2 * _CHUNK_BYTES // (dim * np.dtype(dtype).itemsize) + 5
    x = np.ones((rows, dim), dtype)
    bad = [0, rows // 2, rows - 1]
    for row, value in zip(bad, (np.nan, np.inf, -np.inf), strict=True):
        x[row, row % dim] = value
    assert nonfinite_rows(x).tolist() == bad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 3)])
def test_large_and_absent_values_are_finite(dtype: Any, shape: tuple[int, int]) -> None:
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[np.dtype(dtype).itemsize]
    infinite = np.array(np.inf, dtype)
    largest = (infinite.view(bits) - bits(1)).view(dtype)
    assert np.isfinite(largest)
    assert nonfinite_rows(np.full(shape, largest, dtype)).tolist() == []
