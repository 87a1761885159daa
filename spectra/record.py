"""A record: the metrics of one group, with what they rest on and how they ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from spectra.display import SHOWN, html_table, with_error
from spectra.statistics import METRICS, STATUSES, Convention, Summary


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """Metrics of one group of rows X [n, d] under one convention.

    A value that cannot be computed is None, and `status` with `reason` says why; it is never NaN.
    Values are floats, or JAX scalars where the input was a JAX array; `spectra.statistics` has the
    formulas of `rankme` (the convention's effective rank), `rankme_sigma` (p proportional to
    singular values), `alpha_req` with its `alpha_req_r2`, `participation_ratio`, `stable_rank` and
    `top_share`. `rank_ceiling` is the largest rank n rows can show. Token, step and trace counts
    are None where the rows did not come from an artifact. `se` holds standard errors, or None.
    `method` is the numerical route: "moments" or "rows" (a d x d or n x n Gram matrix, in float64
    unless the run was fast), "svd" (of the rows, where a Gram matrix could not resolve the tail),
    None where nothing was solved. `num_blocks` counts the problems or traces behind `se`; None
    without standard errors. Where the jackknife was exact, `se_first_order` has the standard errors
    to first order, and `se_apart` names the metrics of which the two differ by more than a tenth.
    `half_sample` has `rankme` without its bias to first order, where that was asked for and there
    are rows enough. `diagnostics` are of a run's records alone (see
    `spectra.outputs.diagnostics`).
    """

    rankme: Any
    rankme_sigma: Any
    alpha_req: Any
    alpha_req_r2: Any
    participation_ratio: Any
    stable_rank: Any
    top_share: Any
    num_rows: int
    num_tokens: int | None
    num_steps: int | None
    num_traces: int | None
    rank_ceiling: int
    se: dict[str, float | None] | None
    status: str
    reason: str | None
    method: str | None
    num_blocks: int | None = None
    diagnostics: dict[str, Any] | None = None
    half_sample: dict[str, Any] | None = None
    se_first_order: dict[str, float | None] | None = None
    se_apart: list[str] | None = None

    def asdict(self) -> dict[str, Any]:
        """The record as a dict in file order."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        metrics = (
            f"{name} {with_error(getattr(self, name), (self.se or {}).get(name), digits)}"
            for name, digits in SHOWN.items()
        )
        parts = (*metrics, f"{self.num_rows:,} rows, ceiling {self.rank_ceiling:,}")
        why = self.status if self.reason is None else f"{self.status} ({self.reason})"
        return f"Record: {', '.join(parts)}, {why}"

    def _repr_html_(self) -> str:
        lines = (
            (name, with_error(getattr(self, name), (self.se or {}).get(name), 4))
            for name in METRICS
        )
        rest = (("rows", f"{self.num_rows:,}"), ("ceiling", f"{self.rank_ceiling:,}"))
        why = ("status", self.status if self.reason is None else f"{self.status}: {self.reason}")
        return html_table("", ("metric", "value ± se"), [*lines, *rest, why])


def value_or_none(value: Any) -> float | None:
    """A float, or None for NaN."""
    number = float(value)
    return None if math.isnan(number) else number


def reason(
    status: str,
    rows: int,
    usable: int | None,
    convention: Convention,
    nonfinite: str | None = None,
) -> str | None:
    """One sentence that explains a status other than "ok"."""
    if status == "too_few_rows":
        needed = 2 if convention.centered else 1
        return f"{rows} rows; at least {needed} are needed"
    if status == "nonfinite":
        return nonfinite or "rows hold NaN or infinity"
    if status == "degenerate":
        return "all rows are equal" if convention.centered else "all rows are zero"
    if status == "short_spectrum" and convention.alpha_ranks:
        first, last = convention.alpha_ranks
        found = "too few" if usable is None else str(usable)
        return f"{found} usable eigenvalues; alpha_req is fitted on ranks {first} to {last}"
    return None


def metric_values(summary: Summary, place: int) -> dict[str, float | None]:
    """The statistics of one member of a batch, None where undefined."""
    names = Summary._fields[: Summary._fields.index("rank_ceiling")]
    return {name: value_or_none(getattr(summary, name)[place]) for name in names}


def status_name(summary: Summary, place: int) -> str:
    """The status of one member of a batch."""
    return STATUSES[int(summary.status[place])]
