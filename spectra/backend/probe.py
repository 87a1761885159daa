"""How much faster a device multiplies in float32 than in float64, measured in a moment."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

_ROWS, _DIM = 512, 2048


def float32_gain(device: jax.Device) -> float:
    """Seconds of a float64 product of rows over those of a float32 one; under a second in all."""
    with jax.enable_x64(True), jax.default_device(device):
        return _seconds(np.float64) / _seconds(np.float32)


def _seconds(dtype: type[np.floating]) -> float:
    """The shortest of three, after one that compiles."""
    rows = jnp.ones((_ROWS, _DIM), dtype)
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        _product(rows).block_until_ready()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


@jax.jit
def _product(rows: jax.Array) -> jax.Array:
    return jnp.matmul(rows.T, rows, precision=jax.lax.Precision.HIGHEST)
