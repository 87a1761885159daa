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

BEYOND = 16.0
"""A Gram matrix has no negative eigenvalues; below minus so many times its rounding, one is no
rounding but a solver's fault. Up to there it is zero, and the rounding counts as that large."""

Wanted = Literal["both", "centered", "uncentered"]
"""Which spectra of a group: all three routes' or a convention's alone."""

Fault = Literal["rounding", "not finite", "negative", "energy"]
"""Why a spectrum by way of a Gram matrix does not serve: its rounding alone, or a solver that gave
NaN (no convergence included), a negative value beyond `BEYOND`, or values whose sum is not the
energy of the rows."""


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
        fault: what was wrong by way of the Gram matrix, also where an SVD has repaired it.
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
    fault: Fault | None = None

    @property
    def resolved(self) -> bool:
        """Whether every statistic is within the accuracy bar of an SVD of the rows."""
        return self.error <= self.tolerable

    def repaired_by(self, rows: Spectra) -> Spectra:
        """The spectra by SVD of the `rows`, with this Gram matrix's disagreement with them."""
        differs = None
        if len(self.covariance):
            differs = disagreement(self.covariance, rows.centered, self.noise)
        return replace(rows, disagreement=differs, fault=self.fault)


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
    judge = _Judge(reduced, alpha_ranks)
    cut = zero_cut(rows, dim, reduced.energy)
    none = np.empty(0)

    def found(
        centered: F64, uncentered: F64, covariance: F64, noise: float, **rest: Any
    ) -> Spectra:
        centered, uncentered, covariance = (
            np.where(values > cut, values, 0.0) for values in (centered, uncentered, covariance)
        )
        energies = reduced.energy, reduced.mean_energy
        rest |= {"noise": noise, "error": judge.error, "fault": judge.fault}
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
        centered, noise = judge.centered(definite, exist)
        return found(centered, none, none, noise)
    if wanted == "uncentered":
        noise = judge.rounding(iterated())
        uncentered, noise = judge.uncentered(definite_raw(), min(rows, dim), noise)
        return found(none, uncentered, none, noise)
    covariance, noise = judge.centered(iterated(), exist)
    if wanted == "centered":
        return found(covariance, none, none, noise)
    uncentered, _ = judge.uncentered(definite_raw(), min(rows, dim), noise)
    centered = covariance if definite is None else definite[:exist]
    differs = None if definite is None else disagreement(covariance, centered, noise)
    return found(centered, uncentered, covariance, noise, disagreement=differs)


class _Judge:
    """Looks at eigenvalues as solvers give them; keeps the largest error and the first fault."""

    def __init__(self, reduced: Reduced, alpha_ranks: tuple[int, int]) -> None:
        self._reduced, self._alpha_ranks = reduced, alpha_ranks
        self.error = 0.0
        self.fault: Fault | None = None

    def rounding(self, centered: F64) -> float:
        """The absolute error of eigenvalues of the centred scatter as it was accumulated."""
        level = float(centered.max(initial=0.0)) + self._reduced.shift_energy
        return self._reduced.accuracy.rounding * level

    def centered(self, values: F64, exist: int) -> tuple[F64, float]:
        """The first values of the centred scatter, and their rounding."""
        energy = self._reduced.energy - self._reduced.mean_energy
        return self._judged(values, exist, energy, self.rounding(values))

    def uncentered(self, definite: F64 | None, exist: int, noise: float) -> tuple[F64, float]:
        """The first values of X'X, and their rounding, where that of the centred is `noise`."""
        noise *= OF_THE_MEAN
        if definite is None:
            definite = eigenvalues(self._reduced.raw)
            noise += self._reduced.accuracy.rounding * self._reduced.mean_energy
        return self._judged(definite, exist, self._reduced.energy, noise)

    def _judged(self, values: F64, exist: int, energy: float, noise: float) -> tuple[F64, float]:
        """Negative values become zero, and show that the rounding is at least as large."""
        reduced = self._reduced
        slack = len(values) * reduced.accuracy.rounding * (reduced.energy + reduced.shift_energy)
        lowest = float(max(-values.min(initial=0.0), 0.0))
        fault: Fault | None = None
        if not np.isfinite([*values, energy, noise]).all():
            fault = "not finite"
        elif lowest > BEYOND * noise:
            fault = "negative"
        elif abs(values.sum() - energy) > slack:
            fault = "energy"
        values, noise = np.maximum(values, 0.0)[:exist], max(noise, lowest)
        # A spectrum that is noise throughout looks flat, and a flat one looks well known.
        drowned = len(values) > 0 and noise > 0 and values[0] <= noise
        error = np.inf
        if fault is None and not drowned:
            error = float(statistic_error(values, len(values), noise, self._alpha_ranks))
        if fault is None and not error <= reduced.accuracy.tolerable:
            fault, error = "rounding", np.inf if np.isnan(error) else error
        self.error, self.fault = max(self.error, error), self.fault or fault
        return values, noise


def disagreement(covariance: F64, centered: F64, noise: float) -> float | None:
    """Largest |l / s^2 - 1| of two findings of a spectrum, over the values above the noise."""
    clear = (covariance > noise) & (centered > noise)
    return float(np.abs(covariance[clear] / centered[clear] - 1).max()) if clear.any() else None


def zero_cut(rows: int, dim: int, energy: float) -> float:
    """The squared singular value up to which a value is rounding: (max(n, d) * eps * |X|_F)^2."""
    return float((max(rows, dim) * EPS) ** 2 * energy)
