"""The slow, sure route: singular values of the rows, for what a Gram matrix cannot resolve.

Rows come in blocks and are folded into a triangular factor by QR (TSQR), so memory stays at a few
d x d matrices whatever the number of rows. Errors are relative to the largest singular value, not
to its square.

As with Gram matrices, one reduction serves both spectra: in a basis whose first vector is along
the mean row mu, the centred rows reduce to a bidiagonal B, and the rows as they are to B under the
row sqrt(n) |mu| e1', which O(d) rotations make bidiagonal again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from spectra.errors import SolverError
from spectra.linalg.lapack import gebrd, geqrf, lasq1
from spectra.linalg.spectrum import Spectra, zero_cut
from spectra.linalg.tridiagonal import reflector
from spectra.linalg.unlocked import F64

Blocks = Callable[[], Iterable[F64]]
"""Gives a group's rows as float64 blocks [m, d], anew and in the same order at every call."""


PANEL_ROWS = 1024
"""Rows that are summed at a time, however they come: results do not depend on their blocks."""


def spectra_of_blocks(blocks: Blocks, dim: int) -> Spectra:
    """Spectra of the stacked blocks by QR and SVD; two passes over the blocks."""
    rows, total, energy = 0, np.zeros(dim), 0.0
    for block in _panels(blocks()):
        rows += len(block)
        total += block.sum(axis=0)
        energy += float(np.vdot(block, block))
    mean = total / rows
    factor = triangular_factor((block - mean for block in _panels(blocks())), dim)
    return _spectra(factor, mean, rows, energy)


def _spectra(factor: F64, mean: F64, rows: int, energy: float) -> Spectra:
    """Of n rows with this factor [k, d] of what is left of them without their mean."""
    dim = len(mean)
    centered, raw = _squared_singular_values(factor, np.sqrt(rows) * mean)
    cut = zero_cut(rows, dim, energy)
    centered, raw = (np.where(squares > cut, squares, 0.0) for squares in (centered, raw))
    centered, raw = centered[: min(rows - 1, dim)], raw[: min(rows, dim)]
    mean_energy = rows * float(mean @ mean)
    return Spectra(rows, dim, centered, raw, centered, energy, mean_energy, "svd")


def _panels(blocks: Iterable[F64]) -> Iterator[F64]:
    """The same rows, `PANEL_ROWS` at a time."""
    held: list[F64] = []
    count = 0
    for block in blocks:
        start = 0
        while start < len(block):
            part = block[start : start + PANEL_ROWS - count]
            held.append(part)
            start, count = start + len(part), count + len(part)
            if count == PANEL_ROWS:
                yield np.concatenate(held) if len(held) > 1 else part
                held, count = [], 0
    if held:
        yield np.concatenate(held)


class Factor:
    """R [at most dim, dim] with R'R = sum of block'block, by QR of blocks under the factor."""

    def __init__(self, dim: int, tall: int = 4) -> None:
        """Blocks wait until they have `tall` dim rows: more of them take memory and less time."""
        self._factor = np.empty((0, dim))
        self._tall = tall * dim
        self._pending: list[F64] = []
        self._waiting = 0

    def add(self, block: F64) -> None:
        """Take rows [m, dim], which may not change after."""
        self._pending.append(block)
        self._waiting += len(block)
        # A tall panel amortises re-reducing the factor: 4 d rows make that a fifth of the work.
        if self._waiting >= self._tall:
            self._fold()

    def whole(self) -> F64:
        """Of all that was taken; the rows themselves where they are no more than dim."""
        if self._pending:
            self._fold()
        return self._factor

    def _fold(self) -> None:
        self._factor = _fold(self._factor, self._pending)
        self._pending, self._waiting = [], 0


def triangular_factor(blocks: Iterable[F64], dim: int) -> F64:
    """`Factor` of all blocks."""
    factor = Factor(dim)
    for block in blocks:
        factor.add(block)
    return factor.whole()


def led_by_ones(rows: NDArray[np.generic], shift: F64) -> F64:
    """(1, x - shift) [m, d + 1] of rows x [m, d]: what `spectra_of_factors` wants factors of.

    The factor of all rows of a set then begins with sqrt(n) (1, mean - shift), up to its sign, and
    what is below and beside that is the centred rows' own: the mean need not be known before.
    """
    found = np.empty((len(rows), len(shift) + 1))
    found[:, 0] = 1.0
    np.subtract(rows, shift, out=found[:, 1:])
    return found


def spectra_of_factors(factors: Iterable[F64], shift: F64, rows: int, energy: float) -> Spectra:
    """Spectra of the n = `rows` rows x of which `Factor` took `led_by_ones`, some here, some there.

    `energy` is the sum of squares of x.
    """
    dim = len(shift)
    whole = triangular_factor(factors, dim + 1)
    if np.tril(whole, -1).any():
        whole = geqrf(np.asfortranarray(whole))
    mean = shift + whole[0, 1:] / whole[0, 0]
    return _spectra(whole[1:, 1:], mean, rows, energy)


def _fold(factor: F64, blocks: list[F64]) -> F64:
    stacked = np.vstack([factor, *blocks])
    rows, dim = stacked.shape
    return stacked if rows <= dim else geqrf(np.asfortranarray(stacked))


def _squared_singular_values(factor: F64, mean: F64) -> tuple[F64, F64]:
    """Of the factor [k, d], k <= d, and of the factor over the row `mean` [d]; descending."""
    size, dim = factor.shape
    if size < dim:
        # The mean goes last: the error that QR makes in a column is relative to that column.
        corner = geqrf(np.asfortranarray(np.vstack([factor, mean]).T))
        factor, mean = np.vstack([corner[:, :size].T, np.zeros(size + 1)]), corner[:, size]
    length = float(np.linalg.norm(mean))
    factor = np.asfortranarray(factor)
    if length > 0:
        v = reflector(mean)
        factor = blas.dger(-2.0, blas.dgemv(1.0, factor, v), v, a=factor, overwrite_a=1)
    diag, off = gebrd(factor)
    return _singular_values(diag, off) ** 2, _singular_values(*_under(length, diag, off)) ** 2


def _singular_values(diag: F64, off: F64) -> F64:
    """Of an upper bidiagonal, descending: by dqds, or where that fails, by divide and conquer.

    Raises `SolverError` where both fail, or the matrix is not finite.
    """
    try:
        return lasq1(diag, off)
    except np.linalg.LinAlgError:
        matrix = np.diag(diag) + np.diag(off, 1)
    try:
        if np.isfinite(matrix).all():
            return np.asarray(np.linalg.svd(matrix, compute_uv=False))
    except np.linalg.LinAlgError:
        pass
    raise SolverError(
        f"singular values of order {len(diag)} were found by none of three algorithms (a Gram "
        "matrix's eigenvalues, dqds, divide and conquer), though the rows are finite. Expected "
        "values below 1e150 in size; run `spectra verify` on the input, and report this if it "
        "passes."
    )


def _under(first: float, diag: F64, off: F64) -> tuple[F64, F64]:
    """The upper bidiagonal form of an upper bidiagonal matrix under the row first * e1'."""
    diag, off, above = diag.copy(), np.append(off, 0.0), first
    for place, entry in enumerate(diag):
        # Row `above` of one entry meets the row (entry, off); a rotation clears the latter's first.
        diag[place] = np.hypot(above, entry)
        cosine, sine = (above, entry) / diag[place] if diag[place] > 0 else (1.0, 0.0)
        above, off[place] = cosine * off[place], sine * off[place]
    return diag, off[:-1]
