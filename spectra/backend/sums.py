"""The additive state of a set of rows, wherever its arrays live."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sums(NamedTuple):
    """Sums over rows y = x - shift: their number, total [d] and Gram matrix [d, d], float64.

    The arrays belong to a backend (NumPy or JAX; a fast one's are pairs of float32, with a leading
    axis of 2); on the host only the Gram matrix's lower triangle counts. Two sets with the same
    shift merge by addition.
    """

    rows: int
    total: Any
    gram: Any
