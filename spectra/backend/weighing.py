"""What rows carry of statistics (see `spectra.linalg.axes`), by JAX on a device.

In float64, or in float32 where a device computes in that: `wide` says which. The eigenvalues come
to the host, which knows how statistics move with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from spectra.linalg import F64, Axes, WeightsOf, scales_and_weights

_HIGHEST = lax.Precision.HIGHEST


class Weigher:
    """Weighs rows on one device; programs are compiled once a shape."""

    def __init__(self, device: jax.Device, wide: bool) -> None:
        """In float64 where `wide`, else in float32."""
        self._device, self._wide = device, wide
        self._dtype: Any = np.dtype(np.float64 if wide else np.float32)
        self._eps = float(np.finfo(self._dtype).eps)

    def axes(self, scatter: Any, rows: int, origin: F64, weights_of: WeightsOf) -> Axes:
        """The axes of a scatter matrix [d, d] of n rows around `origin`."""
        with jax.enable_x64(self._wide), jax.default_device(self._device):
            if isinstance(scatter, np.ndarray):
                scatter = self._narrow(scatter)
            ascending, vectors = _eigen(scatter)
            scales, weights = self._judged(ascending, rows, weights_of)
            return Axes(origin, _scaled(vectors, self._narrow(scales)), weights)

    def carried(self, rows: NDArray[Any], count: int, of: Sequence[Axes]) -> list[F64]:
        """[count, M] what the first rows of [m, d] carry of each of several groups."""
        with jax.enable_x64(self._wide), jax.default_device(self._device):
            there = jax.device_put(self._narrow(rows))
            found = [
                _carried(there, self._narrow(one.origin), one.vectors, self._narrow(one.weights))
                for one in of
            ]
            return [np.asarray(one, np.float64)[:count] for one in jax.device_get(found)]

    def carried_by_few(
        self, rows: NDArray[Any], count: int, centered: bool, weights_of: WeightsOf
    ) -> F64:
        """[count, M] what a group's rows carry that are the first of [m, d]; others are zero."""
        with jax.enable_x64(self._wide), jax.default_device(self._device):
            ascending, vectors = _eigen_of_rows(self._narrow(rows), count, centered)
            _, weights = self._judged(ascending, count, weights_of)
            return np.asarray(_squares(vectors, self._narrow(weights)), np.float64)[:count]

    def _narrow(self, x: NDArray[Any]) -> NDArray[Any]:
        """In this device's type; what is beyond its range is infinite, and shows in the result."""
        with np.errstate(over="ignore"):
            return x.astype(self._dtype)

    def _judged(self, ascending: Any, rows: int, weights_of: WeightsOf) -> tuple[F64, F64]:
        """Of padded rows come as many zeros more, which are the least eigenvalues."""
        values = np.asarray(ascending, np.float64)
        exist = min(rows, len(values))
        scales, weights = scales_and_weights(values[-exist:], rows, weights_of, self._eps)
        padding = len(values) - exist
        return np.pad(scales, (padding, 0)), np.pad(weights, ((0, 0), (padding, 0)))


@jax.jit
def _eigen(matrix: Any) -> Any:
    return jnp.linalg.eigh(matrix, symmetrize_input=False)


@jax.jit
def _scaled(vectors: Any, scales: Any) -> Any:
    return vectors * scales[None]


@jax.jit
def _carried(rows: Any, origin: Any, vectors: Any, weights: Any) -> Any:
    along = jnp.matmul(rows - origin[None], vectors, precision=_HIGHEST)
    return jnp.matmul(along * along, weights.T, precision=_HIGHEST)


@partial(jax.jit, static_argnums=2)
def _eigen_of_rows(rows: Any, count: Any, centered: bool) -> Any:
    valid = (jnp.arange(len(rows)) < count)[:, None]
    if centered:
        mean = rows.sum(axis=0) / jnp.asarray(count, rows.dtype)
        rows = jnp.where(valid, rows - mean[None], 0)
    return jnp.linalg.eigh(jnp.matmul(rows, rows.T, precision=_HIGHEST), symmetrize_input=False)


@jax.jit
def _squares(vectors: Any, weights: Any) -> Any:
    return jnp.matmul(vectors * vectors, weights.T, precision=_HIGHEST)
