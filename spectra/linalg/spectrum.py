"""One reduction, three routes: the spectra of a group from its moments or from its rows.

Let C be the centred scatter of X [n, d], mu its mean row and G = X'X = C + n mu mu'. In a basis
whose first vector is mu / |mu|, C reduces to a tridiagonal T and G to T + n |mu|^2 e1 e1': one
O(d^3) reduction and O(d^2) solves give both spectra. For n <= d the same holds for K = XX' with
the vector (1, ..., 1) / sqrt(n) first: K's values are T's, the centred ones those of T without
its first row and column. In both forms the mean is kept apart from the centred part until after
the reduction, so that a large mean costs the small values no digits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from spectra.linalg.resolution import EPS, EXACT, Accuracy, statistic_error
from spectra.linalg.tridiagonal import Tridiagonal, definite_eigenvalues, eigenvalues
from spectra.linalg.unlocked import F64

Method = Literal["moments", "rows", "svd"]

OF_THE_MEAN = 2.0
"""Rounding of the small eigenvalues of X'X, over that of the centred scatter's.

The products of the rows with their mean are rounded as well, and what that moves is of the same
size: seen up to 1.5, for three rows around a mean of 3,000.
"""

Wanted = Literal["both", "centered", "uncentered"]
"""Which spectra of a group: all three routes' or a convention's alone."""


class Reduced(NamedTuple):
    """What a backend hands over after the O(d^3) part: two tridiagonals and the energies.

    Attributes:
        centered: T whose eigenvalues are those of the centred scatter.
        raw: T whose eigenvalues are those of X'X.
        energy: sum of squares of X, the square of its Frobenius norm.
        mean_energy: n |mean row|^2.
        shift_energy: n |mean - shift|^2, what centring took out of the Gram matrix as accumulated;
            rounding is relative to its largest eigenvalue, at most this plus the centred one.
            More, where the matrix once held rows that were subtracted since, or where products
            were too small for their type.
        accuracy: of the arithmetic that led here.
    """

    centered: Tridiagonal
    raw: Tridiagonal
    energy: float
    mean_energy: float
    shift_energy: float
    accuracy: Accuracy = EXACT


@dataclass(frozen=True, slots=True)
class Spectra:
    """Squared singular values of one group of n rows in d dimensions, descending, float64.

    A spectrum that was not wanted is empty; `covariance` goes with both.

    Attributes:
        rows, dim: n and d.
        centered: [min(n - 1, d)] squared singular values of the centred rows.
        uncentered: [min(n, d)] squared singular values of the rows as they are.
        covariance: [min(n - 1, d)] eigenvalues of the centred scatter, found by another algorithm
            than `centered`: QL iteration on T, against dqds on its bidiagonal factor. The same as
            `centered` for "svd".
        energy, mean_energy: |X|_F^2 and n |mean|^2.
        method: "moments" or "rows" (one reduction of a d x d or n x n Gram matrix), "svd" (of the
            rows, where a Gram matrix cannot resolve the tail).
        disagreement: largest relative difference between the eigenvalues of the Gram matrix and
            `centered`, over those above the Gram matrix's rounding; None if there are none.
        noise: that rounding, an absolute error of eigenvalues.
        error: first-order bound of the relative error of the statistics; 0 for "svd".
        tolerable: the largest `error` with which the spectra count as resolved.
    """

    rows: int
    dim: int
    centered: F64
    uncentered: F64
    covariance: F64
    energy: float
    mean_energy: float
    method: Method
    disagreement: float | None = None
    noise: float = 0.0
    error: float = 0.0
    tolerable: float = EXACT.tolerable

    @property
    def resolved(self) -> bool:
        """Whether every statistic is within the accuracy bar of an SVD of the rows."""
        return self.error <= self.tolerable

    def repaired_by(self, rows: Spectra) -> Spectra:
        """The spectra by SVD of the `rows`, with this Gram matrix's disagreement with them."""
        if len(self.covariance) == 0:
            return rows
        differs = disagreement(self.covariance, rows.centered, self.noise)
        return replace(rows, disagreement=differs)


def solve(
    reduced: Reduced,
    rows: int,
    dim: int,
    method: Method,
    alpha_ranks: tuple[int, int],
    wanted: Wanted = "both",
    threads: Executor | None = None,
) -> Spectra:
    """The wanted spectra from the tridiagonals, with the bound on what rounding did to them.

    With `threads` the three eigenvalue problems of "both" are solved side by side.
    """
    cut = zero_cut(rows, dim, reduced.energy)
    none = np.empty(0)

    def bound(values: F64, level: float) -> float:
        # A spectrum that is noise throughout looks flat, and a flat one looks well known.
        drowned = len(values) > 0 and level > 0 and values[0] <= level
        if drowned or not np.isfinite(values).all():
            return np.inf
        return float(statistic_error(values, len(values), level, alpha_ranks))

    def found(centered: F64, uncentered: F64, covariance: F64, **rest: Any) -> Spectra:
        centered, uncentered, covariance = (
            np.where(values > cut, values, 0.0) for values in (centered, uncentered, covariance)
        )
        energies = reduced.energy, reduced.mean_energy
        rest["tolerable"] = reduced.accuracy.tolerable
        return Spectra(rows, dim, centered, uncentered, covariance, *energies, method, **rest)

    def begun(find: Callable[[Tridiagonal], Any], t: Tridiagonal) -> Callable[[], Any]:
        return partial(find, t) if threads is None else threads.submit(find, t).result

    exist = min(rows - 1, dim)
    definite_raw = begun(definite_eigenvalues, reduced.raw)
    definite_centered = begun(definite_eigenvalues, reduced.centered)
    iterated = begun(eigenvalues, reduced.centered)
    definite = None if wanted == "uncentered" else definite_centered()
    if wanted == "centered" and definite is not None:
        centered = definite[:exist]
        noise = _rounding(centered, reduced)
        return found(centered, none, none, noise=noise, error=bound(centered, noise))
    covariance = np.maximum(iterated(), 0.0)[:exist]
    noise = _rounding(covariance, reduced)
    centered = covariance if definite is None else definite[:exist]
    if wanted == "centered":
        return found(centered, none, none, noise=noise, error=bound(covariance, noise))
    raw_noise = OF_THE_MEAN * noise
    uncentered = definite_raw()
    if uncentered is None:
        uncentered = np.maximum(eigenvalues(reduced.raw), 0.0)
        raw_noise += reduced.accuracy.rounding * reduced.mean_energy
    uncentered = uncentered[: min(rows, dim)]
    raw_error = bound(uncentered, raw_noise)
    if wanted == "uncentered":
        return found(none, uncentered, none, noise=raw_noise, error=raw_error)
    return found(
        centered,
        uncentered,
        covariance,
        disagreement=None if definite is None else disagreement(covariance, centered, noise),
        noise=noise,
        error=max(bound(covariance, noise), raw_error),
    )


def _rounding(centered: F64, reduced: Reduced) -> float:
    """The absolute error of eigenvalues of the centred scatter as it was accumulated."""
    level = float(centered.max(initial=0.0)) + reduced.shift_energy
    return reduced.accuracy.rounding * level


def disagreement(covariance: F64, centered: F64, noise: float) -> float | None:
    """Largest |l / s^2 - 1| of two findings of a spectrum, over the values above the noise."""
    clear = (covariance > noise) & (centered > noise)
    return float(np.abs(covariance[clear] / centered[clear] - 1).max()) if clear.any() else None


def zero_cut(rows: int, dim: int, energy: float) -> float:
    """The squared singular value up to which a value is rounding: (max(n, d) * eps * |X|_F)^2."""
    return float((max(rows, dim) * EPS) ** 2 * energy)
