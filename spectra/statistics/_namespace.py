"""NumPy or jax.numpy, whichever an array belongs to: one formula serves both."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A `numpy.ndarray` or a `jax.Array`; the two share the operations that the formulas use."""


def is_jax(x: object) -> bool:
    """Whether x is a JAX array or tracer (never imports JAX itself)."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.Array)


def namespace(*xs: object) -> Any:
    """`jax.numpy` if any x is a JAX array, else `numpy`."""
    if any(is_jax(x) for x in xs):
        import jax.numpy as jnp

        return jnp
    return np


def along_last(vector: Array, like: Array) -> Array:
    """A vector [K] with as many axes as `like` [..., K] and its dtype: no implicit promotion."""
    shape = (1,) * (like.ndim - 1) + (len(vector),)
    return namespace(like).asarray(vector, dtype=like.dtype).reshape(shape)


def exists(count: Array, like: Array) -> Array:
    """[..., K] which of the values of `like` [..., K] are among the first `count` [...]."""
    xp = namespace(count, like)
    count = xp.asarray(count)
    places = xp.arange(like.shape[-1], dtype=count.dtype)
    return places.reshape((1,) * (like.ndim - 1) + (-1,)) < count[..., None]
