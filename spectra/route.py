"""The three routes to a group's effective rank, side by side, each by its plain definition.

cov_centered     eigenvalues of the centred covariance, p proportional to them;
svd_centered     singular values of the centred rows, p proportional to them;
svd_uncentered   singular values of the rows as they are, p proportional to them.

The first two see one spectrum (l = s^2 / (n - 1)) and weigh it differently; the third counts the
mean direction as structure. alpha is always fitted on s^2, since fitting s halves the exponent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spectra.linalg import F64, Spectra
from spectra.statistics import PRESETS, Array, Convention

DEFAULT_ALPHA_RANKS = (11, 100)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One route: its spectrum [K], descending, and what it says; None where undefined."""

    values: Array
    effective_rank: Any
    alpha_req: Any
    alpha_req_r2: Any


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """The three routes of one group of rows.

    `mean_energy_share` is n |mean|^2 / |X|_F^2; `max_disagreement` the largest relative
    difference between the covariance's eigenvalues and s^2 / (n - 1), found by different
    algorithms; `method` as in `Record`.
    """

    cov_centered: Route
    svd_centered: Route
    svd_uncentered: Route
    mean_energy_share: float | None
    max_disagreement: float | None
    method: str | None


def route_conventions(convention: Convention) -> tuple[Convention, Convention]:
    """The centred and the uncentred definition, fitted over the convention's ranks or 11-100."""
    ranks = convention.alpha_ranks or DEFAULT_ALPHA_RANKS
    source = PRESETS["default"].source
    return (
        Convention("routes", source, True, False, "eigenvalue", 0.0, None, ranks),
        Convention("routes", source, False, False, "singular", 0.0, None, ranks),
    )


def route_values(route: str, squares: F64, rows: int) -> F64:
    """What a route calls its spectrum, from squared singular values [K] of n rows."""
    return squares / (rows - 1) if route == "cov_centered" else np.asarray(np.sqrt(squares))


def mean_energy_share(spectra: Spectra) -> float | None:
    """The mean direction's share of the energy of the rows, in [0, 1]; None for all-zero rows."""
    return min(spectra.mean_energy / spectra.energy, 1.0) if spectra.energy > 0 else None
