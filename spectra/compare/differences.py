"""A metric of two sources on the same traces: its difference, how sure it is, and many of them.

With U_b what block b of traces adds to each metric (see `spectra.uncertainty.jackknife`), the
difference of two has what block b adds to one less what it adds to the other, and

    se^2 = k / (k - 1) * sum_b (U_b(B) - U_b(A))^2,    t = difference / sqrt(se^2 + sd^2 / R)

against Student's t with k - 1 degrees of freedom; sd is that of the difference over the R
subsamples, where those are draws. What a trace does to both at once cancels: a source compared with
itself differs by exactly 0. Alpha's variance is lessened in the proportion in which those of the
two by themselves are (see `spectra.uncertainty.rigidity`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from spectra.linalg import F64
from spectra.statistics import METRICS

NORMALISED = "normalised_rank"
"""RankMe over the largest that it could be at the count and width: comparable across widths."""

ROUNDING = 1e-9
"""Of a difference, what its standard error must be above."""

ACROSS_WIDTHS = (NORMALISED, "alpha_req", "alpha_req_r2")
ALL = (*METRICS, NORMALISED)


@dataclass(frozen=True, slots=True)
class Measured:
    """One source's group at a count.

    Attributes:
        rows: of the whole group.
        values: by subsample, the metrics of `ALL`.
        influences: [B, ALL] what each block adds, on average over the subsamples.
        first_order: by metric, the variance that `influences` give.
        corrected: by metric, what is left of it (see `spectra.uncertainty.rigidity`).
        blocks: how many blocks of traces the draw from the fewest has.
    """

    rows: int
    values: Sequence[Mapping[str, float | None]]
    influences: F64
    first_order: Mapping[str, float]
    corrected: Mapping[str, float]
    blocks: int


@dataclass(frozen=True, slots=True)
class Difference:
    """B less A in one metric; None where either is undefined, or blocks are fewer than two.

    Attributes:
        a, b: the means over the subsamples.
        difference: b - a.
        se: the jackknife's standard error of the difference.
        sd: of the difference over the subsamples; 0 where they are all of the rows.
        low, high: the 95 % interval.
        p: two-sided, against no difference.
        p_holm: adjusted for the groups of its kind (Holm 1979).
    """

    a: float | None
    b: float | None
    difference: float | None
    se: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None

    def asdict(self) -> dict[str, float | None]:
        """The fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def difference(a: Measured, b: Measured, metric: str) -> Difference:
    """What is between two sources in a group."""
    ours, theirs = (_column(side, metric) for side in (a, b))
    if ours is None or theirs is None:
        a_mean, b_mean = (None if side is None else float(side.mean()) for side in (ours, theirs))
        return Difference(a_mean, b_mean, None)
    repeats = max(len(ours), len(theirs))
    # A side whose every draw is the whole group was drawn once.
    apart = np.broadcast_to(theirs, repeats) - np.broadcast_to(ours, repeats)
    mean = float(apart.mean())
    sd = float(apart.std(ddof=1)) if repeats > 1 else 0.0
    plain = Difference(float(ours.mean()), float(theirs.mean()), mean, sd=sd)
    count = min(a.blocks, b.blocks)
    column = ALL.index(metric)
    moved = b.influences[:, column] - a.influences[:, column]
    if count < 2 or not np.isfinite(moved).all():
        return plain
    variance = float(moved @ moved) * count / (count - 1) * _kept(a, b, metric)
    total = math.sqrt(variance + sd**2 / repeats)
    reach = float(stdtrit(count - 1, 0.975)) * total
    if mean == 0:
        p: float | None = 1.0
    elif total <= ROUNDING * abs(mean):
        p = None  # nothing varies, which is no certainty
    else:
        p = float(2 * stdtr(count - 1, -abs(mean) / total))
    return Difference(
        plain.a, plain.b, mean, math.sqrt(variance), sd, mean - reach, mean + reach, p
    )


def _kept(a: Measured, b: Measured, metric: str) -> float:
    whole = a.first_order[metric] + b.first_order[metric]
    return (a.corrected[metric] + b.corrected[metric]) / whole if whole > 0 else 1.0


def _column(side: Measured, metric: str) -> F64 | None:
    values: list[Any] = [one[metric] for one in side.values]
    return None if not values or None in values else np.array(values)
