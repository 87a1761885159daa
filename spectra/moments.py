"""Additive moments of a set of rows: what covers a group when rows are too many to keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spectra.statistics import Array, is_jax


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The number, sum and Gram matrix of rows around a shift: enough for their spectra.

    For rows x_i in R^d and y_i = x_i - shift: `rows` = n, `total` = sum y_i [d], `gram` = sum
    y_i y_i' [d, d], all float64, NumPy or JAX. Moments of disjoint sets add, and those of a subset
    subtract: leaving a trace out is one subtraction. Any shift describes the same rows; one near
    their mean keeps large means from costing digits. `held` bounds the largest eigenvalue that was
    ever in the Gram matrix: what is subtracted leaves the rounding of its size behind, and
    `spectra.metrics` takes that into account.
    """

    rows: int
    shift: Array
    total: Array
    gram: Array
    held: Array = 0.0

    @classmethod
    def of(cls, x: Array, shift: Array | None = None) -> Moments:
        """The moments of rows x [n, d], n >= 1, of any float dtype, around `shift` or their mean.

        Raises:
            ValueError: x is not two-dimensional or has no rows.
        """
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"x has shape {x.shape}; expected [rows, dim] with at least one row")
        with _float64(x) as xp:
            wide = x.astype(xp.float64)
            around = wide.mean(axis=0) if shift is None else xp.asarray(shift, xp.float64)
            y = wide - around[None]
            return cls(len(x), around, y.sum(axis=0), _gram(y))

    @property
    def mean(self) -> Array:
        """The mean row [d]."""
        with _float64(self.gram):
            return self.shift + self.total / self.rows

    @property
    def scatter(self) -> Array:
        """The scatter sum (x_i - mean)(x_i - mean)' [d, d]; over n - 1 it is the covariance."""
        with _float64(self.gram):
            return self.gram - self.total[:, None] * self.total[None] / self.rows

    def around(self, shift: Array) -> Moments:
        """The same rows described around another shift [d]."""
        with _float64(self.gram, shift):
            move = self.shift - shift
            cross = self.total[:, None] * move[None]
            gram = self.gram + cross + cross.T + self.rows * (move[:, None] * move[None])
            held = _larger(self.held, self.rows * (move * move).sum())
            return Moments(self.rows, shift, self.total + self.rows * move, gram, held)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of rows together."""
        return self._combine(other, 1)

    def __sub__(self, other: Moments) -> Moments:
        """The moments of the rows that are left when `other`'s, a subset of them, are taken out."""
        return self._combine(other, -1)

    def _combine(self, other: Moments, sign: int) -> Moments:
        rows = self.rows + sign * other.rows
        if rows < 1 or self.gram.shape != other.gram.shape:
            raise ValueError(
                f"cannot combine {self.rows} rows of width {self.gram.shape[0]} with {other.rows} "
                f"of width {other.gram.shape[0]}: widths must agree and a row must be left"
            )
        moved = other if other.shift is self.shift else other.around(self.shift)
        with _float64(self.gram, other.gram) as xp:
            total, gram = self.total + sign * moved.total, self.gram + sign * moved.gram
            held = _larger(self.held, moved.held)
            if sign < 0:
                held = _larger(held, xp.linalg.norm(self.gram))
            return Moments(rows, self.shift, total, gram, held)


class _float64:
    """JAX's float64 for JAX arrays, whatever the caller's setting; NumPy needs nothing."""

    def __init__(self, *xs: Array) -> None:
        self._jax = any(map(is_jax, xs))

    def __enter__(self) -> Any:
        if not self._jax:
            return np
        import jax

        self._scope = jax.enable_x64(True)
        self._scope.__enter__()
        return jax.numpy

    def __exit__(self, *error: Any) -> None:
        if self._jax:
            self._scope.__exit__(*error)


def _larger(a: Array, b: Array) -> Array:
    return a if float(a) >= float(b) else b


def _gram(y: Array) -> Array:
    if not is_jax(y):
        return y.T @ y
    import jax

    return jax.numpy.matmul(y.T, y, precision=jax.lax.Precision.HIGHEST)
