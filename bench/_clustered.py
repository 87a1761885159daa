"""Rows of traces with known population: own means, tokens that depend on the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Design:
    """How rows depend on one another, by rank of the axis they are seen along.

    Attributes:
        name: for tables.
        description: for the card.
        between: the share of an axis's variance that is its traces' means, on the first axes.
        lag: the correlation of a token with the one before it in its trace, on the first axes.
        fading: whether both fade along the ranks, as seen in states; else all axes have them.
    """

    name: str
    description: str
    between: float
    lag: float
    fading: bool

    def shares(self, dim: int) -> tuple[F64, F64]:
        """[d] between and lag of each axis."""
        ranks = np.arange(1, dim + 1)
        if not self.fading:
            return np.full(dim, self.between), np.full(dim, self.lag)
        return self.between / (1 + (ranks / 20) ** 2), 0.3 + (self.lag - 0.3) / (
            1 + (ranks / 10) ** 2
        )


DESIGNS = (
    Design(
        "as in states",
        "trace means have 0.35 of the variance on the first axes, half of that at rank 20, 0.05 at "
        "rank 50; lag-one correlation 0.6 falling to 0.3: near what layer 30 of the 18 traces by "
        "SmolLM2-135M-Instruct shows (0.20 to 0.42 on axes 1 to 11, 0.16 at 21, 0.03 at 51; "
        "correlations of 0.42 to 0.64, then 0.2 to 0.36)",
        0.35,
        0.6,
        True,
    ),
    Design("means on all axes", "0.1 of every axis's variance; correlation 0.6", 0.1, 0.6, False),
    Design("independent rows", "no means, no correlation", 0.0, 0.0, False),
)


@dataclass(frozen=True, slots=True)
class Traces:
    """Traces of fixed lengths over a power law: eigenvalues k^-exponent, k = 1 ... dim."""

    design: Design
    dim: int
    lengths: tuple[int, ...]
    exponent: float = 1.0

    @classmethod
    def of(cls, design: Design, dim: int, rows: int, traces: int) -> Traces:
        """About `rows` rows in traces whose lengths vary by two fifths, log-normally."""
        weights = np.random.default_rng(traces).lognormal(0, 0.4, traces)
        lengths = np.maximum(2, np.round(rows * weights / weights.sum())).astype(int)
        return cls(design, dim, tuple(map(int, lengths)))

    @property
    def eigenvalues(self) -> F64:
        """[d] of the population."""
        return np.asarray(np.arange(1, self.dim + 1) ** -self.exponent)

    @property
    def trace(self) -> NDArray[Any]:
        """[n] each row's trace."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def draw(self, rng: np.random.Generator) -> F64:
        """Rows [n, d], each marginally N(0, diag(eigenvalues))."""
        between, lag = self.design.shares(self.dim)
        rows = rng.standard_normal((sum(self.lengths), self.dim))
        new = np.sqrt(1 - lag**2)
        at = 0
        for length in self.lengths:
            own = rows[at : at + length]
            for token in range(1, length):
                own[token] = lag * own[token - 1] + new * own[token]
            own *= np.sqrt(1 - between)
            own += np.sqrt(between) * rng.standard_normal(self.dim)
            at += length
        return np.asarray(rows * np.sqrt(self.eigenvalues))
