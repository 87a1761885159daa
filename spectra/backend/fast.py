"""Fast precision on an accelerator: float32 products over short blocks, added up as pairs.

A block's product is float32 throughout (`Precision.HIGHEST`: never TF32); blocks add up as pairs of
float32, which need no float64, so that one program serves every accelerator. Reductions are float32
on the device, and float64 by LAPACK on the host for a TPU, which `tridiagonal` is not lowered for.
Eigenvalues of the tridiagonals are float64 on the host always.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from spectra.backend import host, pairs
from spectra.backend.device import (
    HIGHEST,
    Arithmetic,
    DeviceBackend,
    centred_scatter,
    padded,
    reduce_along,
    reduced_moments,
    reduced_rows,
    tridiagonal,
)
from spectra.backend.precision import Mode
from spectra.backend.room import Room
from spectra.backend.sums import Sums
from spectra.linalg import F64, FAST, Reduced, Tridiagonal, reduce_in_place

BLOCK = 256
"""Rows of a product (columns, in products of rows by rows): rounding grows with them, and the time
to add a product up is worth less than that of the product itself from about here on."""

_TINY = float(np.finfo(np.float32).tiny)


class FastBackend(DeviceBackend):
    """Products in float32; `Sums` hold pairs, total [2, d] and Gram matrix [2, d, d].

    Attributes:
        on_host: whether the host reduces.
    """

    mode: Mode = "fast"
    wide = False
    most_rows = BLOCK

    def __init__(self, device: jax.Device, room: Room | None = None, rows_on_host: int = 0) -> None:
        """As `DeviceBackend`."""
        super().__init__(device, room, rows_on_host)
        self.on_host = device.platform == "tpu"

    @property
    def arithmetic(self) -> Arithmetic:
        """In pairs of float32."""
        return PAIRS

    def reduction(self, order: int, rows: bool) -> str:
        """XLA's in float32, or LAPACK's in float64 where there is none or rows are few."""
        if self.on_host or (rows and order <= self._rows_on_host):
            return host.reduction(order)
        return f"XLA tridiagonal on {self.name}, float32"

    def _scatter(self, sums: Sums, shift: F64) -> tuple[F64, F64]:
        total, gram = map(_wide, jax.device_get((sums.total, sums.gram)))
        offset = total / sums.rows
        return gram - sums.rows * np.outer(offset, offset), shift + offset

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        """The tridiagonal form of a group from its moments."""
        if self.on_host:
            total, gram = map(_wide, jax.device_get((sums.total, sums.gram)))
            reduced = host.reduced_moments(Sums(sums.rows, total, gram.T), shift)
        else:
            with self._turn, jax.enable_x64(True), jax.default_device(self.device):
                count = jnp.asarray(sums.rows, jnp.float64)
                found = jax.device_get(_reduce_moments(count, sums.total, sums.gram, shift))
            reduced = reduced_moments(found)
        return _honest(reduced, sums.rows, len(shift))

    def _reduce_padded(self, rows: NDArray[Any], size: int) -> Reduced:
        form = _row_form(rows)
        diag, off = self._reduce_form(form, size)
        # The device rounded the mean's share of the diagonal.
        exact = np.concatenate([form.column[:1], diag[1:]])
        one = reduced_rows(len(form.rows), exact, off, form.energy, form.column[0])
        return _honest(one, *form.rows.shape)

    def _reduce_form(self, form: _RowForm, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Diagonal and off-diagonal of T, of the padding too where the device reduces."""
        rows = padded(form.rows, size)
        with self._turn, jax.enable_x64(False), jax.default_device(self.device):
            if not self.on_host:
                column = np.zeros(size, np.float32)
                column[: len(form.rows)] = _narrow(form.column)
                diag, off = jax.device_get(_reduce_rows(rows, column))
                return diag, off
            products = jax.device_get(_row_products(rows))
        return _reduce_on_host(form, products)


class _RowForm(NamedTuple):
    """K = XX' of rows X [n, d], (1, ..., 1) / sqrt(n) its first basis vector, to be multiplied.

    Attributes:
        rows: [n, d] float32; with the first, which is zero, their product is K without its first
            row and column.
        column: [n] float64, the first column of K; it begins with n |mean|^2.
        energy: |X|_F^2.
    """

    rows: NDArray[np.float32]
    column: F64
    energy: float


def _row_form(rows: NDArray[Any]) -> _RowForm:
    """Centred on the host in float64, so that a large mean costs no digits: O(nd)."""
    z = rows.astype(np.float64)
    root = np.sqrt(len(z))
    mean = z.mean(axis=0)
    z -= mean
    energy = float(np.vdot(z, z))
    z -= z[0] / (root + 1)
    z[0] = 0.0
    narrow = _narrow(z)
    column = -root * (narrow.astype(np.float64) @ mean)
    column[0] = len(z) * float(mean @ mean)
    return _RowForm(narrow, column, energy + float(column[0]))


def _reduce_on_host(form: _RowForm, product: NDArray[np.float32]) -> Tridiagonal:
    count = len(form.rows)
    k = np.asfortranarray(_wide(product[:, :count, :count]))
    k[:, 0] = form.column
    return reduce_in_place(k)


def _narrow(x: F64) -> NDArray[np.float32]:
    """In float32, or infinite where its range ends, which T will show."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32)


def _wide(pair: NDArray[np.float32]) -> F64:
    return np.asarray(pair[0].astype(np.float64) + pair[1])


def _honest(reduced: Reduced, rows: int, dim: int) -> Reduced:
    """With float32's accuracy and lost products: at most n d of the smallest normal number.

    Where products overflowed nothing is known: T is zero and its noise infinite.
    """
    t = reduced.raw
    if np.isfinite(t.diag).all() and np.isfinite(t.off).all():
        held = reduced.shift_energy + rows * dim * _TINY / FAST.rounding
        return reduced._replace(accuracy=FAST, shift_energy=held)
    centered, raw = (
        Tridiagonal(np.zeros_like(t.diag), np.zeros_like(t.off))
        for t in (reduced.centered, reduced.raw)
    )
    return Reduced(centered, raw, reduced.energy, reduced.mean_energy, np.inf, FAST)


@partial(jax.jit, donate_argnums=(0, 1))
def update_moments(total: Any, gram: Any, rows: Any, count: Any, shift: Any) -> tuple[Any, Any]:
    """Pairs, donated, with the first `count` of rows [m, d] added."""
    valid = jnp.arange(rows.shape[0]) < count
    y = jnp.where(valid[:, None], rows.astype(jnp.float32) - shift[None], 0.0)
    product = jnp.matmul(y.T, y, precision=HIGHEST)
    return pairs.plus(total, y.sum(axis=0)), pairs.plus(gram, product)


@partial(jax.jit, donate_argnums=(0, 1))
def _merge(total: Any, gram: Any, more_total: Any, more_gram: Any) -> tuple[Any, Any]:
    return pairs.added(total, more_total), pairs.added(gram, more_gram)


def _sent(rows: NDArray[np.generic], shift: F64) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
    """Rows of float64 less the shift, which must be representable in float32, are rounded to it."""
    if rows.dtype.itemsize > 4:
        rows, shift = _narrow(rows.astype(np.float64) - shift), np.zeros_like(shift)
    return rows, shift.astype(np.float32)


def _over(pair: Any, axis: str, count: int) -> Any:
    """Each device's pair goes round to all others, so that sums stay pairs."""
    around = [(device, (device + 1) % count) for device in range(count)]
    total, moving = pair, pair
    for _ in range(count - 1):
        moving = lax.ppermute(moving, axis, around)
        total = pairs.added(total, moving)
    return total


PAIRS = Arithmetic(
    dtype=np.dtype(np.float32),
    shapes=lambda dim: ((2, dim), (2, dim, dim)),
    sent=_sent,
    update=update_moments,
    merge=_merge,
    over=_over,
)


@jax.jit
def _reduce_moments(count: Any, total: Any, gram: Any, shift: Any) -> tuple[Any, ...]:
    # O(d^2) operations, so float64 costs nothing, however slow.
    total, gram = (pair.astype(jnp.float64).sum(axis=0) for pair in (total, gram))
    scatter, mean, energies = centred_scatter(count, total, gram, shift)
    return (*reduce_along(scatter.astype(jnp.float32), mean.astype(jnp.float32)), *energies)


def _product(rows: Any) -> Any:
    """Rows by rows [2, n, n], over blocks of columns."""
    count, dim = rows.shape
    filled = jnp.pad(rows, ((0, 0), (0, -dim % BLOCK)))
    blocks = jnp.moveaxis(filled.reshape(count, -1, BLOCK), 1, 0)

    def add(pair: Any, block: Any) -> tuple[Any, None]:
        return pairs.plus(pair, jnp.matmul(block, block.T, precision=HIGHEST)), None

    return lax.scan(add, jnp.zeros((2, count, count), jnp.float32), blocks)[0]


_row_products = jax.jit(_product)


@jax.jit
def _reduce_rows(rows: Any, column: Any) -> tuple[Any, Any]:
    return tridiagonal(_product(rows)[0].at[:, 0].set(column).at[0, :].set(column))
