"""The device backend: JAX in float64 on an accelerator (or, for tests, on the CPU client).

Row blocks are padded to one static size and group solves to a few bucket sizes, so a whole run
compiles a handful of programs. Products and O(d^3) reductions run on the device; the two vectors
of each tridiagonal come back to the host, where LAPACK's values-only solvers take O(d^2).
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

from spectra.backend.sums import Sums
from spectra.linalg import F64, Reduced, Tridiagonal

HIGHEST = lax.Precision.HIGHEST
SMALLEST_BUCKET = 64
ROWS_PER_UPDATE = 1024


class DeviceBackend:
    """Products and reductions by XLA in float64, batched; compiled programs are cached by shape."""

    def __init__(self, device: jax.Device, batch: int = 8) -> None:
        """Use one device; `batch` groups are reduced together."""
        self.name = device.platform
        self.batch = batch
        self._device = device

    def zeros(self, dim: int) -> Sums:
        """The sums of no rows."""
        with jax.enable_x64(True), jax.default_device(self._device):
            return Sums(0, jnp.zeros(dim, jnp.float64), jnp.zeros((dim, dim), jnp.float64))

    def accumulate(self, sums: Sums, rows: NDArray[np.generic], shift: F64) -> Sums:
        """Sums with the rows [m, d] of any float dtype added; `sums`' arrays are donated."""
        with jax.enable_x64(True), jax.default_device(self._device):
            total, gram = sums.total, sums.gram
            for start in range(0, len(rows), ROWS_PER_UPDATE):
                block = rows[start : start + ROWS_PER_UPDATE]
                total, gram = _update(total, gram, _pad(block, ROWS_PER_UPDATE), len(block), shift)
            return Sums(sums.rows + len(rows), total, gram)

    def merge(self, into: Sums, other: Sums) -> Sums:
        """The sums of both sets of rows."""
        with jax.enable_x64(True):
            return Sums(into.rows + other.rows, into.total + other.total, into.gram + other.gram)

    def reduce_moments(self, batch: Sequence[Sums], shift: F64) -> list[Reduced]:
        """The tridiagonal forms of groups from their moments."""
        with jax.enable_x64(True), jax.default_device(self._device):
            results = []
            for sums in batch:
                count = jnp.asarray(sums.rows, jnp.float64)
                results.append(_reduce_moments(count, sums.total, sums.gram, shift))
            return [_reduced_moments(jax.device_get(result)) for result in results]

    def reduce_rows(self, batch: Sequence[NDArray[np.generic]]) -> list[Reduced]:
        """The tridiagonal forms of groups from their rows [n, d], batched by padded size."""
        buckets: dict[int, list[int]] = {}
        for position, rows in enumerate(batch):
            buckets.setdefault(_bucket(len(rows)), []).append(position)
        results: dict[int, Reduced] = {}
        with jax.enable_x64(True), jax.default_device(self._device):
            for size, members in buckets.items():
                for start in range(0, len(members), self.batch):
                    some = members[start : start + self.batch]
                    results |= self._reduce_bucket(batch, some, size)
        return [results[position] for position in range(len(batch))]

    def _reduce_bucket(
        self, batch: Sequence[NDArray[np.generic]], members: list[int], size: int
    ) -> dict[int, Reduced]:
        first = batch[members[0]]
        padded = np.zeros((self.batch, size, first.shape[1]), first.dtype)
        counts = np.ones(self.batch)
        for slot, position in enumerate(members):
            padded[slot, : len(batch[position])] = batch[position]
            counts[slot] = len(batch[position])
        diag, off, energy, mean_energy = jax.device_get(_reduce_rows(padded, counts))
        return {
            position: _reduced_rows(
                len(batch[position]), diag[slot], off[slot], energy[slot], mean_energy[slot]
            )
            for slot, position in enumerate(members)
        }


def _bucket(rows: int) -> int:
    """The padded number of rows: a power of two, at least `SMALLEST_BUCKET`."""
    return max(SMALLEST_BUCKET, 1 << (rows - 1).bit_length())


def _pad(rows: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    if len(rows) == size:
        return rows
    padded = np.zeros((size, rows.shape[1]), rows.dtype)
    padded[: len(rows)] = rows
    return padded


@partial(jax.jit, donate_argnums=(0, 1))
def _update(total: Any, gram: Any, rows: Any, count: Any, shift: Any) -> tuple[Any, Any]:
    valid = jnp.arange(rows.shape[0]) < count
    y = jnp.where(valid[:, None], rows.astype(jnp.float64) - shift[None], 0.0)
    return total + y.sum(axis=0), gram + jnp.matmul(y.T, y, precision=HIGHEST)


@jax.jit
def _reduce_moments(count: Any, total: Any, gram: Any, shift: Any) -> tuple[Any, ...]:
    offset = total / count
    mean = shift + offset
    scatter = gram - count * jnp.outer(offset, offset)
    trace = jnp.maximum(jnp.trace(scatter), 0.0)
    diag, off = reduce_along(scatter, mean)
    mean_energy = count * (mean @ mean)
    return diag, off, trace + mean_energy, mean_energy, count * (offset @ offset)


def reduce_along(matrix: Any, direction: Any) -> tuple[Any, Any]:
    """Diagonal [k] and off-diagonal [k - 1] of T; the first basis vector is `direction` [k].

    The traceable counterpart of `spectra.linalg.reduce_along`; a zero direction leaves the basis.
    """
    length = jnp.linalg.norm(direction)
    u = jnp.where(length > 0, direction / jnp.where(length > 0, length, 1.0), 0.0)
    v = u.at[0].add(jnp.where(u[0] < 0, -1.0, 1.0))
    v = v / jnp.linalg.norm(v)
    w = jnp.matmul(matrix, v, precision=HIGHEST)
    p = jnp.where(length > 0, 2.0, 0.0) * (w - (v @ w) * v)
    reflected = matrix - jnp.outer(v, p) - jnp.outer(p, v)
    return tridiagonal(reflected)


def tridiagonal(matrix: Any) -> tuple[Any, Any]:
    """Diagonal and off-diagonal of the tridiagonal form that keeps the first basis vector."""
    if matrix.shape[-1] < 2:
        return matrix[..., 0], matrix[..., 0][..., :0]
    _, diag, off, _ = lax.linalg.tridiagonal(matrix, lower=True)
    return diag, off


def rows_gram(rows: Any, count: Any) -> tuple[Any, Any, Any]:
    """The rows form of `spectra.backend.host` for padded rows [m, d] of which n exist.

    Returns K [m, m] (zero beyond n), the energy |X|_F^2 and the mean's n |mu|^2.
    """
    valid = (jnp.arange(len(rows), dtype=count.dtype) < count)[:, None]
    x = jnp.where(valid, rows.astype(jnp.float64), 0.0)
    mean = x.sum(axis=0) / count
    z = jnp.where(valid, x - mean[None], 0.0)
    mean_energy = count * (mean @ mean)
    rest = jnp.where(valid, z - z[:1] / (jnp.sqrt(count) + 1), 0.0).at[0].set(0.0)
    column = -jnp.sqrt(count) * jnp.matmul(rest, mean, precision=HIGHEST)
    k = jnp.matmul(rest, rest.T, precision=HIGHEST)
    k = k.at[:, 0].set(column).at[0, :].set(column).at[0, 0].set(mean_energy)
    return k, (z * z).sum() + mean_energy, mean_energy


@jax.jit
def _reduce_rows(rows: Any, counts: Any) -> tuple[Any, ...]:
    def one(x: Any, count: Any) -> tuple[Any, ...]:
        k, energy, mean_energy = rows_gram(x, count)
        return (*tridiagonal(k), energy, mean_energy)

    return tuple(jax.vmap(one)(rows, counts))


def _reduced_moments(result: tuple[Any, ...]) -> Reduced:
    diag, off, energy, mean_energy, shift_energy = result
    raw = np.array(diag)
    raw[0] += mean_energy
    centered = Tridiagonal(np.array(diag), np.array(off))
    return Reduced(
        centered,
        Tridiagonal(raw, centered.off),
        float(energy),
        float(mean_energy),
        float(shift_energy),
    )


def _reduced_rows(rows: int, diag: Any, off: Any, energy: Any, mean_energy: Any) -> Reduced:
    raw = Tridiagonal(np.array(diag[:rows]), np.array(off[: rows - 1]))
    centered = Tridiagonal(raw.diag[1:].copy(), raw.off[1:].copy())
    return Reduced(centered, raw, float(energy), float(mean_energy), 0.0)
