"""NumPy or jax.numpy, whichever an array belongs to: one formula serves both."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

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
    import numpy as np

    return np
