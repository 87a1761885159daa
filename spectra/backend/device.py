"""The device backend: JAX in float64 on an accelerator (or, for tests, on the CPU client).

Row blocks are padded to one static size and groups of rows to a few, so a whole run compiles a
handful of programs. Products and O(d^3) reductions run on the device; the two vectors of each
tridiagonal come back to the host, where LAPACK's values-only solvers take O(d^2). Groups of few
rows are the host's altogether, as long as it has cores to spare while the device works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Semaphore
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from spectra.backend import host
from spectra.backend.precision import Mode
from spectra.backend.room import LEAST_ROOM, SMALLEST_BLOCK, TURNS, Room
from spectra.backend.sums import Sums
from spectra.backend.weighing import Weigher
from spectra.linalg import (
    F64,
    Axes,
    Reduced,
    Tridiagonal,
    WeightsOf,
    carried_by_few,
)
from spectra.linalg import axes as host_axes

HIGHEST = lax.Precision.HIGHEST
ROWS_PER_UPDATE = 1024
"""At most; the engine collects the rows of an atom up to this many."""

ROWS_ON_HOST = 256
"""A group of up to so many rows is the host's. At order 512 an H200 took 4.0 ms a matrix, and the
sixteen cores around it 3.0 side by side; at 1,024 it was 8.9 and 12.9."""


@dataclass(frozen=True)
class Arithmetic:
    """How a device adds rows up.

    Attributes:
        dtype: of the sums' numbers.
        shapes: of a width d, those of the total and the Gram matrix.
        sent: rows and shift as the device is to have them.
        update: total and Gram matrix, donated, with the first `count` of rows [m, d] added.
        merge: total and Gram matrix, donated, with others added.
        over: the sum of values over an axis of a mesh, of so many devices; traceable.
    """

    dtype: Any
    shapes: Callable[[int], tuple[tuple[int, ...], tuple[int, ...]]]
    sent: Callable[[NDArray[np.generic], F64], tuple[NDArray[np.generic], NDArray[Any]]]
    update: Callable[..., tuple[Any, Any]]
    merge: Callable[..., tuple[Any, Any]]
    over: Callable[[Any, str, int], Any]


class DeviceBackend:
    """Products and reductions by XLA in float64; compiled programs are cached by shape.

    Attributes:
        device: where.
        mode: "exact" here: float64 throughout.
        wide: whether what rows carry is found in float64.
    """

    mode: Mode = "exact"
    wide = True
    most_rows = ROWS_PER_UPDATE
    count = 1

    def __init__(self, device: jax.Device, room: Room | None = None, rows_on_host: int = 0) -> None:
        """Use one device, and the host for groups of up to `rows_on_host` rows.

        Without a room, moments count as host memory, and blocks have their full size.
        """
        self.name = device.platform
        self.device, self._room, self._rows_on_host = device, room, rows_on_host
        # A device takes turns anyway; more of them would hold more working memory.
        self._turn = Semaphore(TURNS)
        self._weigher = Weigher(device, self.wide)

    @property
    def arithmetic(self) -> Arithmetic:
        """In float64."""
        return EXACT

    def moment_room(self, dim: int) -> int | None:
        """Bytes for moments of rows of width dim; None where the device does not tell."""
        return None if self._room is None else self._room.moments(dim)

    def with_less_room(self) -> Self | None:
        """The same with half of its memory; None where that is not known, or all but used up."""
        if self._room is None or self._room.total < LEAST_ROOM:
            return None
        return type(self)(self.device, Room(self._room.total // 2), self._rows_on_host)

    def reduction(self, order: int, rows: bool) -> str:
        """XLA's, in float64, or the host's."""
        if rows and order <= self._rows_on_host:
            return host.reduction(order)
        return f"XLA tridiagonal on {self.name}, float64"

    def zeros(self, dim: int) -> Sums:
        """The sums of no rows."""
        total, gram = self.arithmetic.shapes(dim)
        with jax.enable_x64(self.wide), jax.default_device(self.device):
            dtype = self.arithmetic.dtype
            return Sums(0, jnp.zeros(total, dtype), jnp.zeros(gram, dtype))

    def accumulate(self, sums: Sums, rows: NDArray[np.generic], shift: F64) -> Sums:
        """Sums with the rows [m, d] of any float dtype added; `sums`' arrays are donated."""
        rows, near = self.arithmetic.sent(rows, shift)
        size = self.block_rows(rows.shape[1])
        with jax.enable_x64(self.wide), jax.default_device(self.device):
            total, gram = sums.total, sums.gram
            for start in range(0, len(rows), size):
                block = rows[start : start + size]
                there = sent(block, size, self.device, self.name)
                total, gram = self.arithmetic.update(total, gram, there, len(block), near)
            return Sums(sums.rows + len(rows), total, gram)

    def merge(self, into: Sums, other: Sums) -> Sums:
        """The sums of both sets of rows; `into`'s arrays are donated."""
        with jax.enable_x64(self.wide):
            total, gram = self.arithmetic.merge(into.total, into.gram, other.total, other.gram)
            return Sums(into.rows + other.rows, total, gram)

    def whole(self, sums: Sums) -> Sums:
        """As they are."""
        return sums

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        """The tridiagonal form of a group from its moments."""
        with self._turn, jax.enable_x64(True), jax.default_device(self.device):
            count = jnp.asarray(sums.rows, jnp.float64)
            return reduced_moments(
                jax.device_get(_reduce_moments(count, sums.total, sums.gram, shift))
            )

    def reduce_rows(self, rows: NDArray[np.generic]) -> Reduced:
        """The tridiagonal form of a group from its rows [n, d], padded to one of a few sizes."""
        if len(rows) <= self._rows_on_host:
            return host.reduced_rows(rows)
        return self._reduce_padded(rows, _bucket(*rows.shape))

    def axes(self, sums: Sums, shift: F64, centered: bool, weights_of: WeightsOf) -> Axes:
        """From the moments, by XLA's eigenvectors, or where those are NaN, by LAPACK's."""
        scatter, mean = self._scatter(sums, shift)
        if not centered:
            scatter = np.asarray(scatter) + sums.rows * np.outer(mean, mean)
            mean = np.zeros_like(mean)
        with self._turn:
            found = self._weigher.axes(scatter, sums.rows, mean, weights_of)
        if not np.isnan(found.weights).all():
            return found
        there = np.asfortranarray(np.asarray(scatter, np.float64))
        return host_axes(there, sums.rows, mean, weights_of)

    def held(self, axes: Axes) -> Axes:
        """With the vectors on the device."""
        with jax.enable_x64(True):
            return axes._replace(vectors=jax.device_put(axes.vectors, self.device))

    def carried(self, rows: NDArray[np.generic], of: Sequence[Axes]) -> list[F64]:
        """A block at a time, which several groups share."""
        size = self.block_rows(rows.shape[1])
        blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
        found = [self._weigher.carried(padded(block, size), len(block), of) for block in blocks]
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def carried_by_few(
        self, rows: NDArray[np.generic], centered: bool, weights_of: WeightsOf
    ) -> F64:
        """By XLA's eigenvectors of the n x n products, padded as for reductions, or by LAPACK's.

        The latter for few rows, and where XLA's are NaN.
        """
        if len(rows) <= self._rows_on_host:
            return carried_by_few(rows, centered, weights_of)
        held = padded(rows, _bucket(*rows.shape))
        with self._turn:
            found = self._weigher.carried_by_few(held, len(rows), centered, weights_of)
        return carried_by_few(rows, centered, weights_of) if np.isnan(found).all() else found

    def _scatter(self, sums: Sums, shift: F64) -> tuple[Any, F64]:
        """The scatter [d, d] around the mean, and the mean [d]."""
        with jax.enable_x64(True), jax.default_device(self.device):
            count = jnp.asarray(sums.rows, jnp.float64)
            scatter, mean, _ = _centred_scatter(count, sums.total, sums.gram, shift)
            return scatter, np.asarray(mean)

    def _reduce_padded(self, rows: NDArray[Any], size: int) -> Reduced:
        held, count = padded(rows, size), np.float64(len(rows))
        with self._turn, jax.enable_x64(True), jax.default_device(self.device):
            return reduced_rows(len(rows), *jax.device_get(_reduce_rows(held, count)))

    def block_rows(self, dim: int) -> int:
        """Rows of width dim that are added at a time."""
        return self.most_rows if self._room is None else self._room.block_rows(dim, self.most_rows)


def _bucket(rows: int, dim: int) -> int:
    """The padded number of rows: a power of two, at least `SMALLEST_BLOCK`, or d if that is less.

    More than d rows, which the engine keeps as moments, have their power of two.
    """
    power = max(SMALLEST_BLOCK, 1 << (rows - 1).bit_length())
    return max(dim, SMALLEST_BLOCK) if rows <= dim < power else power


def padded(rows: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    """Rows [m, d] and zeros below them, [size, d].

    A copy always: a program may read its arguments after the call, when the caller's buffer already
    holds other rows.
    """
    held = np.zeros((size, rows.shape[1]), rows.dtype)
    held[: len(rows)] = rows
    return held


def sent(block: NDArray[np.generic], size: int, where: Any, platform: str) -> Any:
    """Rows [m, d] and zeros below them, [size, d], on a device or over a mesh of some.

    The caller's rows may change after. Waits for a full block to arrive, which costs less than the
    copy that needs no waiting. JAX's CPU client would go on using the caller's memory,
    `may_alias=False` notwithstanding.
    """
    if platform == "cpu" or len(block) < size or not block.flags.c_contiguous:
        return jax.device_put(padded(block, size), where)
    return jax.device_put(block, where).block_until_ready()


@partial(jax.jit, donate_argnums=(0, 1))
def update_moments(total: Any, gram: Any, rows: Any, count: Any, shift: Any) -> tuple[Any, Any]:
    """Total [d] and Gram matrix [d, d], donated, with the first `count` of rows [m, d] added."""
    valid = jnp.arange(rows.shape[0]) < count
    y = jnp.where(valid[:, None], rows.astype(jnp.float64) - shift[None], 0.0)
    return total + y.sum(axis=0), gram + jnp.matmul(y.T, y, precision=HIGHEST)


@partial(jax.jit, donate_argnums=(0, 1))
def _merge(total: Any, gram: Any, more_total: Any, more_gram: Any) -> tuple[Any, Any]:
    return total + more_total, gram + more_gram


EXACT = Arithmetic(
    dtype=np.dtype(np.float64),
    shapes=lambda dim: ((dim,), (dim, dim)),
    sent=lambda rows, shift: (rows, shift),
    update=update_moments,
    merge=_merge,
    over=lambda values, axis, count: lax.psum(values, axis),
)


@jax.jit
def _reduce_moments(count: Any, total: Any, gram: Any, shift: Any) -> tuple[Any, ...]:
    scatter, mean, energies = centred_scatter(count, total, gram, shift)
    return (*reduce_along(scatter, mean), *energies)


@jax.jit
def _centred_scatter(count: Any, total: Any, gram: Any, shift: Any) -> tuple[Any, Any, Any]:
    return centred_scatter(count, total, gram, shift)


def centred_scatter(count: Any, total: Any, gram: Any, shift: Any) -> tuple[Any, Any, Any]:
    """The scatter around the mean [d, d], the mean [d], the energies of `Reduced`; traceable."""
    offset = total / count
    mean = shift + offset
    scatter = gram - count * jnp.outer(offset, offset)
    trace = jnp.maximum(jnp.trace(scatter), 0.0)
    mean_energy = count * (mean @ mean)
    return scatter, mean, (trace + mean_energy, mean_energy, count * (offset @ offset))


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
def _reduce_rows(rows: Any, count: Any) -> tuple[Any, ...]:
    k, energy, mean_energy = rows_gram(rows, count)
    return (*tridiagonal(k), energy, mean_energy)


def reduced_moments(result: tuple[Any, ...]) -> Reduced:
    """From T of the scatter, and the energies."""
    diag, off, energy, mean_energy, shift_energy = result
    centered = Tridiagonal(np.array(diag, np.float64), np.array(off, np.float64))
    raw = centered.diag.copy()
    raw[0] += mean_energy
    return Reduced(
        centered,
        Tridiagonal(raw, centered.off),
        float(energy),
        float(mean_energy),
        float(shift_energy),
    )


def reduced_rows(rows: int, diag: Any, off: Any, energy: Any, mean_energy: Any) -> Reduced:
    """From T of the padded K, of which the first `rows` rows exist, and the energies."""
    raw = Tridiagonal(np.array(diag[:rows], np.float64), np.array(off[: rows - 1], np.float64))
    centered = Tridiagonal(raw.diag[1:].copy(), raw.off[1:].copy())
    return Reduced(centered, raw, float(energy), float(mean_energy), 0.0)
