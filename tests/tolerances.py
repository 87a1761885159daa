"""How close is close: every tolerance of the tests, each with the measurement that set it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|actual − expected| ≤ absolute + relative·|expected|, and where the figures come from."""

    relative: float
    absolute: float
    reason: str

    def holds(self, actual: float | None, expected: float | None) -> bool:
        """Whether two values agree; a null agrees with null alone, NaN with nothing."""
        if actual is None or expected is None:
            return actual is expected
        return math.isclose(actual, expected, rel_tol=0.0, abs_tol=self.allowed(expected))

    def allowed(self, expected: float) -> float:
        """The largest difference from `expected` that passes."""
        return self.absolute + self.relative * abs(expected)


BAR = Tolerance(
    1e-9, 0.0, "the stated bar of the exact mode against float64 NumPy SVDs, for every rank"
)
ALPHA = Tolerance(
    1e-9,
    1e-12,
    "the same bar; a flat spectrum's alpha is 0 up to the rounding of ln λ, measured 2e-15",
)
R2 = Tolerance(
    0.0,
    1e-9,
    "R² is 1 − SSres/SStot: its error is absolute, λ's over SStot",
)
ROUNDING = Tolerance(
    1e-12, 1e-12, "two float64 evaluations of one formula; measured 2.9e-15 relative"
)
INVARIANCE = Tolerance(
    1e-12, 1e-12, "rotating or reordering rows perturbs σ by eps64·σ1; measured 2.2e-15 relative"
)
PRINTED = Tolerance(0.0, 0.051, "published figures of one decimal; half a unit of it and rounding")
ASYMPTOTIC = Tolerance(
    6e-3, 0.0, "limits of random matrices at 256 to 1024 rows; measured 4.5e-3 (rankme, n = 2d)"
)
EDGE = Tolerance(
    0.04, 0.0, "Marchenko–Pastur edges fluctuate as n^(−2/3), 1.2e-2 at n = 800; measured 2.4e-2"
)
EIGENVALUES = Tolerance(
    1e-12, 0.0, "eigenvalues of a covariance carry eps64·λ1 absolutely; measured 1.7e-15 on rankme"
)
SINGLE_WEIGHTS = Tolerance(
    5e-9, 0.0, "reptrix rounds its weights 1/rank to float32; measured 1.6e-9 on alpha"
)
LEADING = Tolerance(
    1e-9, 0.0, "a listed spectral value, relative to the largest: a Gram route's floor is 1e-16·λ1"
)
SHARE = Tolerance(
    1e-9, 1e-12, "the mean's share of the energy; rows of mean 0 leave rounding, measured 1e-33"
)
