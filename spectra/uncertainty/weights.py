"""What each row's leverages count for: in the metrics, and for each eigenvalue of alpha's fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectra.linalg import F64
from spectra.statistics import METRICS, Convention, Gradient

MANY_BLOCKS = 1000
"""Blocks from which alpha's correction no longer matters, since rows are more still."""


@dataclass(frozen=True, slots=True)
class Weights:
    """[METRICS + R, K] at eigenvalues [K], descending, of n rows of width dim (see `linalg.axes`).

    The metrics by their derivatives; then, where `ranks` says which ranks alpha is fitted on, each
    of those R eigenvalues by itself.
    """

    convention: Convention
    dim: int
    ranks: tuple[int, int] | None

    @classmethod
    def of(cls, convention: Convention, dim: int, blocks: int) -> Weights:
        """For so many blocks."""
        return cls(convention, dim, convention.alpha_ranks if blocks < MANY_BLOCKS else None)

    @property
    def columns(self) -> int:
        """METRICS + R."""
        return len(METRICS) + (0 if self.ranks is None else self.ranks[1] - self.ranks[0] + 1)

    def __call__(self, eigenvalues: F64, rows: int) -> F64:
        """The weights at these eigenvalues of n rows, zero where they are mere rounding.

        Alpha's are NaN where one that it is fitted on is: how traces move it cannot be seen.
        """
        weights = np.zeros((self.columns, len(eigenvalues)))
        gradient = Gradient(self.convention, self.dim).on_host(eigenvalues, rows)
        weights[: len(METRICS)] = gradient * eigenvalues
        fit = self.convention.alpha_ranks
        if fit is not None and np.count_nonzero(eigenvalues) < fit[1]:
            weights[[METRICS.index(name) for name in ("alpha_req", "alpha_req_r2")]] = np.nan
        if self.ranks is not None:
            first, last = self.ranks[0] - 1, min(self.ranks[1], len(eigenvalues))
            fitted = np.arange(first, last)
            weights[len(METRICS) + fitted - first, fitted] = 1.0
        return weights
