"""The numbers that the pictures of docs/statistics.md show, all from Spectra's own functions.

Rounded to four digits, so that another machine's last bits draw the same picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import spectra
from spectra.engine import Energy
from spectra.linalg import F64
from spectra.outputs.diagnostics import local_slopes
from spectra.report.values import t_quantile
from spectra.statistics import (
    alpha_req,
    participation_ratio,
    rankme,
    rankme_sigma,
    stable_rank,
    top_share,
)

Rows = list[dict[str, Any]]
DIM = 256
FITTED = (11, 100)


def rounded(value: Any) -> float:
    """To four significant digits."""
    return float(f"{float(value):.4g}")


def power_law(alpha: float, dim: int = DIM) -> F64:
    """Eigenvalues rank^-alpha."""
    return np.arange(1, dim + 1, dtype=np.float64) ** -alpha


def gaussian(eigenvalues: F64, rows: int, seed: int = 0) -> F64:
    """Rows [n, d] of a Gaussian with these variances along the axes."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal((rows, len(eigenvalues))) * np.sqrt(eigenvalues))


def shown_ranks(dim: int = DIM) -> list[int]:
    """Ranks that a curve on a logarithmic axis needs."""
    return sorted({round(rank) for rank in np.geomspace(1, dim, 50)})


def _shares(weights: F64, name: str, ranks: list[int]) -> Rows:
    p = weights / weights.sum()
    return [{"what": name, "rank": rank, "value": rounded(p[rank - 1])} for rank in ranks]


def effective_ranks() -> tuple[Rows, Rows]:
    """Shares of the variance for three power laws, and the rankme of each."""
    curves, marks = [], []
    for alpha in (0.5, 1.0, 1.5):
        name = f"1/rank^{alpha:g}"
        curves += _shares(power_law(alpha), name, shown_ranks())
        marks.append({"what": name, "value": rounded(rankme(power_law(alpha)))})
    return curves, marks


def two_weights() -> tuple[Rows, Rows]:
    """One spectrum's shares by eigenvalues and by singular values, and both effective ranks."""
    values = power_law(1)
    curves = _shares(values, "rankme: p of eigenvalues", shown_ranks())
    curves += _shares(np.sqrt(values), "rankme_sigma: p of singular values", shown_ranks())
    return curves, [
        {"what": "rankme: p of eigenvalues", "value": rounded(rankme(values))},
        {"what": "rankme_sigma: p of singular values", "value": rounded(rankme_sigma(values))},
    ]


def _fitted(name: str, values: F64) -> tuple[Rows, Rows, dict[str, Any]]:
    alpha, r2 = (float(one) for one in alpha_req(values, *FITTED))
    ranks = np.arange(FITTED[0], FITTED[1] + 1, dtype=np.float64)
    logs, weights = np.log(values[FITTED[0] - 1 : FITTED[1]]), 1 / ranks
    level = np.average(logs + alpha * np.log(ranks), weights=weights)
    points: Rows = [
        {"what": name, "rank": rank, "value": rounded(values[rank - 1])} for rank in shown_ranks()
    ]
    line: Rows = [
        {"what": name, "rank": rank, "value": rounded(np.exp(level) * rank**-alpha)}
        for rank in FITTED
    ]
    return points, line, {"what": name, "alpha": rounded(alpha), "r2": rounded(r2)}


def sample_fit() -> tuple[Rows, Rows, dict[str, Any]]:
    """Eigenvalues of 1,000 rows whose population's are 1/rank, and the line that alpha is of."""
    x = gaussian(power_law(1), 1000)
    centred = x - x.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred / (len(x) - 1))[::-1]
    return _fitted("1,000 rows, true exponent 1", values)


def two_fits() -> list[tuple[Rows, Rows, dict[str, Any]]]:
    """A power law and a spectrum that is none, each with its line."""
    exponential = np.exp(-np.arange(1, DIM + 1) / 40)
    return [_fitted("power law", power_law(1)), _fitted("exponential", exponential)]


def rectangles() -> tuple[Rows, Rows]:
    """A short spectrum, and the equal eigenvalues that two statistics replace it by."""
    values = power_law(1, 20)
    total = values.sum()
    bars: Rows = [
        {"rank": rank, "value": rounded(value)} for rank, value in enumerate(values.tolist(), 1)
    ]
    return bars, [
        {
            "what": "participation_ratio",
            "width": rounded(participation_ratio(values)),
            "height": rounded(total / participation_ratio(values)),
        },
        {
            "what": "stable_rank",
            "width": rounded(stable_rank(values)),
            "height": rounded(total / stable_rank(values)),
        },
    ]


def first_shares() -> Rows:
    """Of three power laws, the first direction's share of the variance and the others'."""
    rows: Rows = []
    for alpha in (0.5, 1.0, 1.5):
        share = rounded(top_share(power_law(alpha)))
        name = f"1/rank^{alpha:g}"
        rows.append({"what": name, "part": "first direction", "value": share})
        rows.append({"what": name, "part": "all others", "value": rounded(1 - share)})
    return rows


def ceilings() -> Rows:
    """Ranks of samples of one population, and the most that they could be."""
    rows: Rows = []
    for count in (8, 16, 32, 64, 128, 256, 512, 1024):
        record = spectra.metrics(gaussian(power_law(0.5, 128), count))
        for name in ("rank_ceiling", "rankme_sigma", "rankme"):
            value = rounded(getattr(record, name))
            rows.append({"what": name, "count": count, "value": value})
    return rows


MATCHED = 128


def two_groups() -> Rows:
    """rankme over the count for a flatter group of few rows and a steeper one of many."""
    rows: Rows = []
    for name, alpha, most in (("A, 128 rows", 0.8, MATCHED), ("B, 2,048 rows", 1.0, 2048)):
        x = gaussian(power_law(alpha), most, seed=1)
        count = 16
        while count <= most:
            value = rounded(spectra.metrics(x[:count]).rankme)
            rows.append({"what": name, "count": count, "value": value, "whole": count == most})
            count *= 2
    return rows


def intervals() -> tuple[Rows, float]:
    """Forty data sets' rankme with 95 % intervals, and the mean over 400."""
    traces, each, shown = 12, 40, 40
    blocks = np.arange(traces * each) // each
    values, rows = [], []
    for seed in range(400):
        rng = np.random.default_rng([7, seed])
        means = np.repeat(rng.standard_normal((traces, 32)), each, axis=0)
        x = (0.5 * means + rng.standard_normal((traces * each, 32))) * np.sqrt(power_law(1, 32))
        record = spectra.metrics(x, blocks=blocks) if seed < shown else spectra.metrics(x)
        values.append(record.rankme)
        if record.se is not None:
            reach = t_quantile(traces) * float(record.se["rankme"] or 0)
            low, high = record.rankme - reach, record.rankme + reach
            rows.append({"set": seed + 1, "value": rounded(record.rankme)})
            rows[-1] |= {"low": rounded(low), "high": rounded(high)}
    truth = float(np.mean(values))
    for row in rows:
        row["holds"] = "yes" if row["low"] <= truth <= row["high"] else "no"
    return rows, rounded(truth)


def slopes() -> Rows:
    """Alpha on octaves of ranks, for a power law and for a spectrum with a knee at rank 32."""
    ranks = np.arange(1, DIM + 1)
    knee = np.where(ranks <= 32, ranks**-0.5, 32**1.5 * ranks**-2.0)
    return [
        {"what": name, "rank": one["ranks"][0], "value": rounded(one["alpha"])}
        for name, values in (("power law", power_law(1)), ("with a knee", knee))
        for one in local_slopes(values)
    ]


def one_large_row() -> Rows:
    """Sizes of one row among 1,000, the share of the energy that it has, and rankme."""
    x = gaussian(power_law(0.5), 1000)
    rows: Rows = []
    for factor in (1, 2, 5, 10, 20, 50, 100):
        larger = x.copy()
        larger[0] *= factor
        energy = Energy.of(larger, np.arange(len(x)))
        share = energy.largest / energy.squares.sum()
        rank = rounded(spectra.metrics(larger).rankme)
        rows.append({"factor": factor, "share": rounded(share), "rankme": rank})
    return rows


def shifted_routes() -> Rows:
    """Effective ranks of the three routes as the rows move away from the origin."""
    x = gaussian(power_law(0.5, 64), 500)
    rows: Rows = []
    for shift in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0):
        found = spectra.routes(x + shift)
        rows += [
            {
                "what": name,
                "shift": shift,
                "value": rounded(getattr(found, name).effective_rank),
            }
            for name in ("cov_centered", "svd_centered", "svd_uncentered")
        ]
    return rows
