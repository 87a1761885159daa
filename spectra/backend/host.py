"""The host backend: NumPy's BLAS for products, LAPACK for reductions, in float64.

On a CPU the libraries behind NumPy and SciPy outrun XLA's float64 products and expose values-only
reductions, so they serve there behind the interface that the device backend implements with JAX. A
product is split in tiles that run side by side; a reduction stays on its caller's core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from spectra.backend.cores import usable_cores
from spectra.backend.precision import Mode
from spectra.backend.sums import Sums
from spectra.linalg import (
    F64,
    Axes,
    Reduced,
    Tridiagonal,
    WeightsOf,
    add_gram,
    axes,
    carried,
    carried_by_few,
    put_row_gram,
    reduce_along,
    reduce_in_place,
    reduction_routine,
)

MULTIPLIED, LEAST_BLOCK = 1 << 21, 1024
"""Numbers that are multiplied at a time, and at least so many rows: enough for products at their
full rate, and few enough to stay in a cache between conversion and product."""

CONVERTED_ROWS = 256
"""Rows that a core converts to float64 and adds up at a time."""


class HostBackend:
    """Products and reductions by BLAS and LAPACK."""

    name = "cpu"
    mode: Mode = "exact"
    count = 1

    def __init__(self, cores: int | None = None) -> None:
        """Multiply on this many cores, by default all that the process may use."""
        self.cores = cores or usable_cores()
        self.threads: Executor = ThreadPoolExecutor(self.cores)
        self._spare: list[F64] = []

    def moment_room(self, dim: int) -> None:
        """None: moments lie where the rows do."""

    def reduction(self, order: int, rows: bool) -> str:
        """One routine of LAPACK or another, a matrix a core."""
        return reduction(order)

    def with_less_room(self) -> None:
        """Its memory is planned for, whole."""

    def zeros(self, dim: int) -> Sums:
        """The sums of no rows."""
        return Sums(0, np.zeros(dim), np.zeros((dim, dim), order="F"))

    def accumulate(self, sums: Sums, rows: NDArray[np.generic], shift: F64) -> Sums:
        """Sums with the rows [m, d] of any float dtype added; overwrites `sums.gram`."""
        dim = rows.shape[1]
        size = min(max(LEAST_BLOCK, MULTIPLIED // dim), len(rows))
        wide, total = self._borrow(size, dim), sums.total
        for start in range(0, len(rows), max(size, 1)):
            block = rows[start : start + size]
            y = wide[: len(block)]
            for part in self._convert(block, shift, y):
                total = total + part
            add_gram(sums.gram, y, self.threads, self.cores)
        self._spare.append(wide)
        return Sums(sums.rows + len(rows), total, sums.gram)

    def _borrow(self, size: int, dim: int) -> F64:
        """[size or more, dim] numbers of any value, the last given back if they serve.

        New memory would be found page by page, for a tenth of a product's time.
        """
        try:
            wide = self._spare.pop()
        except IndexError:
            return np.empty((size, dim))
        return wide if wide.shape[1] == dim and len(wide) >= size else np.empty((size, dim))

    def _convert(self, block: NDArray[np.generic], shift: F64, y: F64) -> Iterator[F64]:
        """y = block - shift in float64, on all cores; yields the column sums [d] of its parts."""

        def part(start: int) -> F64:
            some = y[start : start + CONVERTED_ROWS]
            np.copyto(some, block[start : start + CONVERTED_ROWS])
            some -= shift
            return np.asarray(np.ones(len(some)) @ some)

        return self.threads.map(part, range(0, len(block), CONVERTED_ROWS))

    def merge(self, into: Sums, other: Sums) -> Sums:
        """The sums of both sets of rows; overwrites `into.gram`."""
        into.gram[...] += other.gram
        return Sums(into.rows + other.rows, into.total + other.total, into.gram)

    def whole(self, sums: Sums) -> Sums:
        """As they are."""
        return sums

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        """The tridiagonal form of a group from its moments; leaves the sums as they are."""
        return reduced_moments(sums, shift)

    def reduce_rows(self, rows: NDArray[np.generic]) -> Reduced:
        """The tridiagonal form of a group from its rows [n, d], by n x n products."""
        return reduced_rows(rows)

    def axes(self, sums: Sums, shift: F64, centered: bool, weights_of: WeightsOf) -> Axes:
        """By LAPACK, from the moments, which stay as they are."""
        offset = sums.total / sums.rows
        matrix = blas.dsyr(-float(sums.rows), offset, a=sums.gram, lower=1)
        mean = shift + offset
        if centered:
            return axes(matrix, sums.rows, mean, weights_of)
        matrix = blas.dsyr(float(sums.rows), mean, a=matrix, lower=1, overwrite_a=1)
        return axes(matrix, sums.rows, np.zeros_like(mean), weights_of)

    def held(self, axes: Axes) -> Axes:
        """As they are."""
        return axes

    def carried(self, rows: NDArray[np.generic], of: Sequence[Axes]) -> list[F64]:
        """By a product for each group."""
        wide = rows.astype(np.float64)
        return [carried(wide, one) for one in of]

    def carried_by_few(
        self, rows: NDArray[np.generic], centered: bool, weights_of: WeightsOf
    ) -> F64:
        """By LAPACK, of the n x n products."""
        return carried_by_few(rows, centered, weights_of)


def reduction(order: int) -> str:
    """What reduces matrices of this order on the host, for people."""
    return f"LAPACK {reduction_routine(order)}, a matrix a core"


def reduced_moments(sums: Sums, shift: F64, *, overwrite: bool = False) -> Reduced:
    """C = gram - n offset offset', reduced along the mean shift + offset."""
    n, offset = sums.rows, sums.total / sums.rows
    mean = shift + offset
    scatter = blas.dsyr(-float(n), offset, a=sums.gram, lower=1, overwrite_a=overwrite)
    trace = max(float(scatter.trace()), 0.0)
    mean_energy = n * float(mean @ mean)
    t = reduce_along(scatter, mean)
    raw = Tridiagonal(t.diag.copy(), t.off)
    raw.diag[0] += mean_energy
    return Reduced(t, raw, trace + mean_energy, mean_energy, n * float(offset @ offset))


def reduced_rows(
    rows: NDArray[np.generic], threads: Executor | None = None, cores: int = 1
) -> Reduced:
    """K = XX' in the basis whose first vector is (1, ..., 1) / sqrt(n), built from centred rows.

    The Householder reflection that takes that vector to the first axis maps X to -sqrt(n) mean
    and, in rows 2..n, to z_i - z_1 / (sqrt(n) + 1) with z the centred rows: no large mean enters
    the latter. The product is spread over `threads`, `cores` at a time, if there are any.
    """
    z = rows.astype(np.float64)
    n = len(z)
    mean = z.mean(axis=0)
    z -= mean
    trace = float(np.vdot(z, z))
    mean_energy = n * float(mean @ mean)
    reflected = z[1:]
    reflected -= z[0] / (np.sqrt(n) + 1)
    k = np.empty((n, n), order="F")
    k[0, 0] = mean_energy
    k[1:, 0] = -np.sqrt(n) * (reflected @ mean)
    put_row_gram(k, 1, reflected, threads, cores)
    t = reduce_in_place(k)
    centered = Tridiagonal(t.diag[1:], t.off[1:])
    return Reduced(centered, t, trace + mean_energy, mean_energy, 0.0)
