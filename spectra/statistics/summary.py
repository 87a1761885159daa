"""All statistics of a batch of spectra under one convention, with the status of each group."""

from __future__ import annotations

from typing import NamedTuple

from spectra.statistics._namespace import Array, exists, namespace
from spectra.statistics.alpha_req import alpha_req
from spectra.statistics.convention import Convention
from spectra.statistics.participation_ratio import participation_ratio
from spectra.statistics.rankme import effective_rank
from spectra.statistics.stable_rank import stable_rank
from spectra.statistics.top_share import top_share

STATUSES = ("ok", "too_few_rows", "short_spectrum", "nonfinite", "degenerate")
"""The names of the status codes, in the order of the codes."""

OK, TOO_FEW_ROWS, SHORT_SPECTRUM, NONFINITE, DEGENERATE = range(len(STATUSES))

METRICS = (
    "rankme",
    "rankme_sigma",
    "alpha_req",
    "alpha_req_r2",
    "participation_ratio",
    "stable_rank",
    "top_share",
)
"""The statistics of a record, in file order."""


class Summary(NamedTuple):
    """Statistics of a batch of groups: float arrays of shape [...], NaN where undefined.

    `rank_ceiling` [...] is the largest rank the rows could show, `status` [...] a code into
    `STATUSES`.
    """

    rankme: Array
    rankme_sigma: Array
    alpha_req: Array
    alpha_req_r2: Array
    participation_ratio: Array
    stable_rank: Array
    top_share: Array
    rank_ceiling: Array
    status: Array


def summarise(eigenvalues: Array, rows: Array, dim: int, convention: Convention) -> Summary:
    """The statistics of spectra that follow one convention; traceable by `jax.jit`.

    Args:
        eigenvalues: [..., K] squared singular values in descending order, zero-padded, on any
            scale; values indistinguishable from zero are exactly 0. A group with NaN or infinite
            rows has NaN.
        rows: [...] the number of rows n of each group.
        dim: the width d of the rows.
        convention: how p is formed, what is kept, which ranks are fitted.
    """
    xp = namespace(eigenvalues)
    rows = xp.asarray(rows)
    count, ceiling = _counts(rows, dim, convention)
    kept = xp.where(exists(count, eigenvalues), eigenvalues, 0)
    status, defined = _status(kept, rows, convention)
    # The root of a one where there is nothing: it has a derivative, and that of zero has none.
    sigma = xp.where(kept > 0, xp.sqrt(xp.where(kept > 0, kept, 1)), 0)
    sigma_rank = effective_rank(sigma, convention.epsilon, count)
    values = {
        "rankme": xp.full_like(sigma_rank, xp.nan),
        "rankme_sigma": sigma_rank,
        "alpha_req": xp.full_like(sigma_rank, xp.nan),
        "alpha_req_r2": xp.full_like(sigma_rank, xp.nan),
        "participation_ratio": participation_ratio(kept),
        "stable_rank": stable_rank(kept),
        "top_share": top_share(kept),
    }
    if convention.weights == "eigenvalue":
        values["rankme"] = effective_rank(kept, convention.epsilon, count)
    elif convention.weights == "singular":
        values["rankme"] = sigma_rank
    if convention.alpha_ranks:
        values["alpha_req"], values["alpha_req_r2"] = alpha_req(kept, *convention.alpha_ranks)
    values = {name: xp.where(defined, value, xp.nan) for name, value in values.items()}
    return Summary(**values, rank_ceiling=ceiling, status=status)


def _counts(rows: Array, dim: int, convention: Convention) -> tuple[Array, Array]:
    """How many values count, and the rank ceiling; `Convention`'s two rules for arrays."""
    xp = namespace(rows)
    kept = dim if convention.kept is None else min(dim, convention.kept)
    lost = (
        1 if convention.centered and not convention.row_norm and convention.count == "rank" else 0
    )
    count = xp.clip(rows - lost, 0, kept)
    return count, xp.clip(rows - (1 if convention.centered else 0), 0, kept)


def _status(kept: Array, rows: Array, convention: Convention) -> tuple[Array, Array]:
    """Status codes, and where the statistics other than alpha are defined."""
    xp = namespace(kept)
    usable = (kept > 0).sum(axis=-1)
    needed = convention.alpha_ranks[1] if convention.alpha_ranks else 0
    status = xp.where(usable < needed, SHORT_SPECTRUM, OK)
    status = xp.where(usable == 0, DEGENERATE, status)
    status = xp.where(xp.isnan(kept).any(axis=-1), NONFINITE, status)
    status = xp.where(rows < (2 if convention.centered else 1), TOO_FEW_ROWS, status)
    return status, (status == OK) | (status == SHORT_SPECTRUM)
