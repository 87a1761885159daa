"""Sums as pairs of float32, hi + lo: about 48 significant bits where there is no float64.

TwoSum (Knuth 1969) gives the rounding error of an addition exactly, by additions alone.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def plus(pair: Any, x: Any) -> Any:
    """A pair [2, ...] with x [...] added; all float32, traceable."""
    total, lost = _two_sum(pair[0], x)
    return _pair(total, pair[1] + lost)


def added(a: Any, b: Any) -> Any:
    """The sum of two pairs [2, ...]."""
    total, lost = _two_sum(a[0], b[0])
    return _pair(total, lost + (a[1] + b[1]))


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _pair(hi: Any, lo: Any) -> Any:
    total = hi + lo
    return jnp.stack([total, lo - (total - hi)])
