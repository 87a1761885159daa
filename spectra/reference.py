"""The truth, in plain float64 NumPy: what every number in the four metric files must be.

Nothing here is fast. Each group's rows are gathered into one [n, d] matrix, centred if the
convention says so, and handed to `numpy.linalg.svd`; no Gram matrix, no shared work, no import from
the engine: an error there cannot hide here. Input is a dense float64 matrix of states [tokens, dim]
and the samples of an artifact's index.

Sources: Garrido et al. 2023 (arXiv:2210.02885, Eq. 1), Roy & Vetterli 2007 (effective rank),
Agrawal et al. 2022 (alpha-ReQ), Li et al. 2025 (arXiv:2509.23024), Skean et al. 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spectra.grouping import SampleLike

Floats: TypeAlias = NDArray[np.float64]
Record: TypeAlias = dict[str, Any]
Pool: TypeAlias = Literal["all", "mean", "first", "last"]
Depth: TypeAlias = Literal["step", "token"]

POOLS: tuple[Pool, ...] = ("all", "mean", "first", "last")
SEGMENTS = ("thought", "solution")
METRICS = (
    *("rankme", "rankme_sigma", "alpha_req", "alpha_req_r2"),
    *("participation_ratio", "stable_rank", "top_share"),
)
EPS64 = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Convention:
    """One row of the table of conventions; `kept` None keeps all, `alpha` None fits nothing."""

    center: bool
    row_norm: bool
    p: Literal["lambda", "sigma"] | None
    eps: float
    kept: int | None
    alpha: tuple[int, int] | None


DEFAULT = Convention(True, False, "lambda", 0.0, None, (11, 100))
CONVENTIONS: dict[str, Convention] = {
    "default": DEFAULT,
    "roy2007": Convention(False, False, "sigma", 0.0, None, None),
    "rankme2023": Convention(False, False, "sigma", 1e-7, None, None),
    "fastssl": Convention(True, False, None, 0.0, 2048, (4, 100)),
    "reptrix": Convention(True, False, "lambda", 1e-7, 2048, (11, 100)),
    "li2025": Convention(True, False, "lambda", 1e-7, 2048, (12, 100)),
    "skean2025": Convention(True, True, "lambda", 0.0, None, None),
    "differank": Convention(True, True, "lambda", 0.0, None, None),
}


# --- one matrix -----------------------------------------------------------------------------------


def singular_values(x: Floats, conv: Convention = DEFAULT) -> Floats:
    """Singular values of x [n, d] prepared as the convention says, descending; noise is set to 0.

    A value counts as zero when it is at most max(n, d)·eps64·‖X‖_F, X before centring: centring
    leaves an error of that size whatever the spread of the rows. With row normalisation the same
    bound first decides which centred rows are zero, then X is taken with its rows scaled alike.
    """
    n, d = x.shape
    cut = max(n, d) * EPS64 * float(np.linalg.norm(x))
    y = x - x.mean(axis=0) if conv.center else x
    if conv.row_norm:
        length = np.linalg.norm(y, axis=1, keepdims=True)
        scale = np.where(length > cut, 1.0 / np.where(length > cut, length, 1.0), 0.0)
        y, cut = y * scale, max(n, d) * EPS64 * float(np.linalg.norm(x * scale))
    sigma = np.linalg.svd(y, compute_uv=False)
    # A source that adds epsilon counts min(n, d) values, also the one that centring annihilates.
    count = min(n - 1, d) if conv.center and conv.eps == 0.0 else min(n, d)
    return np.where(sigma > cut, sigma, 0.0)[:count][: conv.kept]


def effective_rank(values: Floats, eps: float = 0.0) -> float:
    """exp(−Σ p ln p) with p = values/Σ values + eps and 0·ln 0 = 0 (Roy and Vetterli 2007)."""
    p = values / values.sum() + eps
    p = p[p > 0.0]
    return float(np.exp(-np.sum(p * np.log(p))))


def alpha_req(lam: Floats, ranks: tuple[int, int]) -> tuple[float, float | None]:
    """(alpha, R²) of ln λ = b − alpha·ln k, weights 1/k, over 1-based ranks first..last inclusive.

    Agrawal et al. 2022. R² is unweighted on the same ranks; None when ln λ is constant to rounding.
    """
    k = np.arange(ranks[0], ranks[1] + 1, dtype=np.float64)
    log_k, log_lam = np.log(k), np.log(lam[ranks[0] - 1 : ranks[1]])
    mean_k, mean_lam = np.average(log_k, weights=1 / k), np.average(log_lam, weights=1 / k)
    deviation = (log_k - mean_k) / k
    slope = float(np.sum(deviation * (log_lam - mean_lam)) / np.sum(deviation * (log_k - mean_k)))
    residual = log_lam - mean_lam - slope * (log_k - mean_k)
    total = np.sum((log_lam - log_lam.mean()) ** 2)
    if np.sqrt(total / k.size) < 1e-12:
        return -slope, None
    return -slope, float(1.0 - np.sum(residual**2) / total)


def statistics(sigma: Floats, conv: Convention = DEFAULT) -> Record:
    """The seven metrics of descending singular values, None where undefined, and the status."""
    lam, out = sigma**2, dict[str, Any].fromkeys(METRICS)
    usable = int(np.count_nonzero(lam))
    if usable == 0:
        return {**out, "status": "degenerate"}
    if conv.p is not None:
        out["rankme"] = effective_rank(lam if conv.p == "lambda" else sigma, conv.eps)
    out["rankme_sigma"] = effective_rank(sigma, conv.eps)
    out["participation_ratio"] = float(lam.sum() ** 2 / np.sum(lam**2))
    out["stable_rank"] = float(lam.sum() / lam[0])
    out["top_share"] = float(lam[0] / lam.sum())
    if conv.alpha is None:
        return {**out, "status": "ok"}
    if usable < conv.alpha[1]:
        return {**out, "status": "short_spectrum"}
    out["alpha_req"], out["alpha_req_r2"] = alpha_req(lam, conv.alpha)
    return {**out, "status": "ok"}


def unfit(x: Floats, center: bool) -> str | None:
    """The status that rows x [n, d] have without a look at their spectrum, or None."""
    if len(x) < (2 if center else 1):
        return "too_few_rows"
    return None if np.isfinite(x).all() else "nonfinite"


def record(x: Floats, convention: str = "default") -> Record:
    """Metrics, status and rank ceiling of one group's rows x [n, d]."""
    conv = CONVENTIONS[convention]
    n, d = x.shape
    ceiling = min(max(n - 1, 0) if conv.center else n, d)
    head = {"rank_ceiling": ceiling if conv.kept is None else min(ceiling, conv.kept)}
    status = unfit(x, conv.center)
    if status is not None:
        return {**head, **dict.fromkeys(METRICS), "status": status}
    return {**head, **statistics(singular_values(x, conv), conv)}


def routes(x: Floats, convention: str = "default") -> Record:
    """The three routes of x [n, d]: effective rank, alpha (fitted on λ = σ²), the whole spectrum.

    cov_centered: eigenvalues of the covariance, σ²/(n−1), and p ∝ λ; svd_centered: σ of the centred
    rows, p ∝ σ; svd_uncentered: σ of the rows themselves, p ∝ σ. So they are whatever the
    convention, which gives only the ranks that alpha is fitted on (11–100 where it has none).
    `mean_energy_share` = n‖mean‖²/‖X‖²_F: the part of the energy along the mean direction.
    """
    ranks = CONVENTIONS[convention].alpha or (11, 100)
    out: Record = {}
    for center, names in ((True, ("cov_centered", "svd_centered")), (False, ("svd_uncentered",))):
        conv = replace(DEFAULT, center=center, alpha=ranks)
        status = unfit(x, center)
        sigma = np.empty(0) if status is not None else singular_values(x, conv)
        stats = {"status": status} if status is not None else statistics(sigma, conv)
        for name in names:
            is_cov = name == "cov_centered"
            out[name] = {
                "effective_rank": stats.get("rankme" if is_cov else "rankme_sigma"),
                "alpha_req": stats.get("alpha_req"),
                "alpha_req_r2": stats.get("alpha_req_r2"),
                "spectrum": (sigma**2 / (len(x) - 1) if is_cov else sigma).tolist(),
                "status": stats["status"],
            }
    energy = float(np.sum(x**2)) if unfit(x, False) is None else 0.0
    share = len(x) * float(np.sum(x.mean(axis=0) ** 2)) / energy if energy > 0.0 else None
    return {**out, "mean_energy_share": share}


# --- how sure -------------------------------------------------------------------------------------


def standard_errors(x: Floats, block: Sequence[int], convention: str = "default") -> Record | None:
    """First-order jackknife standard errors of rows x [n, d] that belong to these blocks [n].

    With X = U diag(σ) V' (rows centred if the convention says so) and weights w on the blocks,
    d ln λ_k / d w_b is the sum of u_ik² over block b. The metrics' derivatives by ln λ_k are
    central differences. None with fewer than two blocks; alpha's is corrected as in
    `alpha_variance`.
    """
    conv, step = CONVENTIONS[convention], 1e-5
    names = sorted(set(block))
    if unfit(x, conv.center) is not None or len(names) < 2 or conv.row_norm:
        return None
    y = x - x.mean(axis=0) if conv.center else x
    sigma = singular_values(x, replace(conv, kept=None))
    left = np.linalg.svd(y, full_matrices=False)[0][:, : np.count_nonzero(sigma)]
    shares = np.array([np.sum(left[np.array(block) == name] ** 2, axis=0) for name in names])
    center, out = statistics(sigma[: conv.kept], conv), dict[str, Any].fromkeys(METRICS)
    defined = [metric for metric in METRICS if center[metric] is not None]
    moved = {metric: np.zeros(len(names)) for metric in defined}
    for k in range(left.shape[1]):
        ends = []
        for sign in (1.0, -1.0):
            other = sigma.copy()
            other[k] *= np.exp(sign * step / 2)  # ln λ = 2 ln σ
            ends.append(statistics(other[: conv.kept], conv))
        for metric in defined:
            slope = (ends[0][metric] - ends[1][metric]) / (2 * step)
            moved[metric] += slope * shares[:, k]
    for metric in defined:
        variance = float(np.sum(moved[metric] ** 2)) * len(names) / (len(names) - 1)
        if metric == "alpha_req" and conv.alpha is not None:
            fitted = shares[:, conv.alpha[0] - 1 : conv.alpha[1]]
            values = min(len(x) - conv.center, x.shape[1])
            variance = alpha_variance(variance, fitted, conv.alpha, center[metric], values)
        out[metric] = variance**0.5
    return out


def alpha_variance(
    first_order: float, shares: Floats, ranks: tuple[int, int], alpha: float, values: int
) -> float:
    """The variance of alpha: the jackknife's less what it counts twice (`spectra.uncertainty`).

    `shares` are each block's of the fitted eigenvalues.
    """
    k = np.arange(ranks[0], ranks[1] + 1, dtype=np.float64)
    deviation = np.log(k) - np.average(np.log(k), weights=1 / k)
    slope = deviation / k / np.sum(deviation**2 / k)
    blocks = len(shares)
    deviations = shares - shares.mean(axis=1, keepdims=True)
    by_axis = blocks / (blocks - 1) * np.sum(deviations**2, axis=0)
    noise = float(np.sum(slope**2 * by_axis))
    if alpha <= 0:
        return first_order
    lam, c = np.arange(1, values + 1) ** -round(alpha, 2), np.zeros(values)
    c[ranks[0] - 1 : ranks[1]] = slope
    v = np.concatenate(
        [np.full(ranks[0] - 1, by_axis[0]), by_axis, np.full(values - ranks[1], by_axis[-1])]
    )
    pairs = 0.0
    for i in range(values):
        for j in range(values):
            if lam[i] != lam[j]:
                g = (c[i] * lam[j] - c[j] * lam[i]) / (lam[i] - lam[j])
                pairs += g**2 * v[i] * v[j]
    ratio = pairs / (4 * noise)
    return first_order - min(first_order, noise) * ratio / (1 + ratio)


# --- rows and groups ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Label:
    """Where one row comes from; traces and steps are numbered over the artifact.

    `tokens` is the number of token rows of its step, or 1 in pool "all".
    """

    trace: int
    step: int
    bin: int
    tokens: int
    segment: str | None
    category: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows x [n, d] of one pool or group, a label each, and the index's macro categories."""

    x: Floats
    labels: list[Label]
    categories: list[str]
    num_bins: int

    def where(self, segment: str | None, category: str | None, bin_: int | None = None) -> Rows:
        """Those in a segment, a macro category and a depth bin; None means any."""
        inside = [
            i
            for i, label in enumerate(self.labels)
            if segment in (None, label.segment)
            and category in (None, label.category)
            and bin_ in (None, label.bin)
        ]
        return replace(self, x=self.x[inside], labels=[self.labels[i] for i in inside])


def own_name(label: str | None) -> str:
    """The identity map of categories: a label is its own macro category."""
    return "unlabelled" if label is None else label


def pooled_rows(
    states: Floats,
    samples: Sequence[SampleLike],
    pool: Pool,
    *,
    num_bins: int = 10,
    depth: Depth = "step",
    macro: Callable[[str | None], str] = own_name,
    drop: bool = False,
) -> Rows:
    """Rows of one pool in order of (sample, step, token), labelled; empty steps give none.

    A trace's step i of S has depth (i + ½)/S, its (token, step) pair k of K depth (k + ½)/K; with
    depth "token" a pooled step stands at the middle of its pairs. Bins are cut in integers. With
    `drop` a token that is not finite is taken out of its steps before anything else.
    """
    x: list[Floats] = []
    labels: list[Label] = []
    number = 0
    for trace, sample in enumerate(samples):
        steps = [_tokens(states[s.global_start : s.global_end], drop) for s in sample.steps]
        pairs, total = 0, sum(map(len, steps))
        for i, (step, tokens) in enumerate(zip(sample.steps, steps, strict=True)):
            for first, end, row in _pooled(tokens, pool):
                by_step = (2 * i + 1) * num_bins // (2 * len(steps))
                by_token = (2 * pairs + first + end) * num_bins // (2 * total)
                where = by_step if depth == "step" else by_token
                names = (step.segment, macro(step.category))
                labels.append(Label(trace, number, where, end - first, *names))
                x.append(row)
            pairs, number = pairs + len(tokens), number + 1
    categories = sorted({macro(step.category) for sample in samples for step in sample.steps})
    return Rows(np.array(x).reshape(len(x), states.shape[1]), labels, categories, num_bins)


def _tokens(rows: Floats, drop: bool) -> Floats:
    """The token rows [m, d] of a step that count."""
    return rows[np.isfinite(rows).all(axis=1)] if drop else rows


def _pooled(tokens: Floats, pool: Pool) -> list[tuple[int, int, Floats]]:
    """The rows that a step with tokens [m, d] gives, each as (first token, end token, row)."""
    if pool == "all":
        return [(k, k + 1, row) for k, row in enumerate(tokens)]
    if len(tokens) == 0:
        return []
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        row = {"mean": tokens.mean(axis=0), "first": tokens[0], "last": tokens[-1]}[pool]
    return [(0, len(tokens), row)]


def group_record(rows: Rows, convention: str = "default") -> Record:
    """The full record of formats.md for a group's rows, counts included."""
    return {
        **record(rows.x, convention),
        "num_rows": len(rows.labels),
        "num_tokens": sum(label.tokens for label in rows.labels),
        "num_steps": len({label.step for label in rows.labels}),
        "num_traces": len({label.trace for label in rows.labels}),
        "se": None,
    }


# --- the files ------------------------------------------------------------------------------------


def groups(rows: Rows, value: Callable[[Rows], Any]) -> Record:
    """`value` of every basic group, in the nesting of basic_metrics.json."""
    names = rows.categories
    return {
        "global": value(rows),
        "segments": {s: value(rows.where(s, None)) for s in SEGMENTS},
        "categories": {c: value(rows.where(None, c)) for c in names},
        "segment_categories": {s: {c: value(rows.where(s, c)) for c in names} for s in SEGMENTS},
    }


def basic_metrics(rows: Rows, convention: str = "default") -> Record:
    """The groups of basic_metrics.json."""
    return groups(rows, lambda group: group_record(group, convention))


def svd_vs_covariance(rows: Rows, convention: str = "default") -> Record:
    """The groups of svd_vs_covariance.json."""
    return groups(rows, lambda group: routes(group.x, convention))


def depth_profile(rows: Rows, convention: str = "default") -> Record:
    """The groups of depth_profile.json: one record per bin, globally, per segment, per category."""

    def bins(segment: str | None, category: str | None) -> list[Record]:
        of_bin = (rows.where(segment, category, b) for b in range(rows.num_bins))
        return [group_record(group, convention) for group in of_bin]

    return {
        "num_bins": rows.num_bins,
        "edges": [b / rows.num_bins for b in range(rows.num_bins + 1)],
        "bins": bins(None, None),
        "segments": {s: {"bins": bins(s, None)} for s in SEGMENTS},
        "categories": {c: {"bins": bins(None, c)} for c in rows.categories},
    }
