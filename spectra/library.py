"""Metrics of arrays: what a notebook or a training loop calls.

NumPy in gives NumPy out, JAX in gives JAX out. Everything is computed in float64, on the host for
NumPy and on the array's device for JAX (whatever `jax_enable_x64` says; results come back in
JAX's default float type). Where float64 moments cannot resolve a tail to the accuracy bar, the
SVD of the rows is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.batched import BatchedRecord, jax_batch, jax_batch_and_repairs
from spectra.finite import nonfinite_rows
from spectra.host_metrics import (
    carried_by_blocks,
    convention_values,
    eigenvalues_of,
    float_rows,
    rescaled,
    spectra_of,
    spectra_of_moments,
    summary_of_rows,
    summary_of_values,
)
from spectra.linalg import F64
from spectra.moments import Moments
from spectra.record import Record, reason, value_or_none
from spectra.route import (
    DEFAULT_ALPHA_RANKS,
    Route,
    Routes,
    mean_energy_share,
    route_conventions,
    route_values,
)
from spectra.statistics import METRICS, STATUSES, Array, Convention, is_jax
from spectra.statistics import convention as named_convention


def metrics(
    x: Array | Moments,
    convention: str | Convention = "default",
    *,
    blocks: Sequence[Any] | NDArray[Any] | None = None,
) -> Record:
    """The metrics of one group of rows, with standard errors where blocks are given.

    Args:
        x: rows [n, d] of any float dtype, NumPy or JAX, or their `Moments`.
        convention: a preset's name or a `Convention`.
        blocks: [n] labels: rows of one label (a trace, a problem) depend on one another, others do
            not. `se` is then the first-order jackknife over them (`spectra.uncertainty`), in
            floats; value +- t * se, t with `num_blocks` - 1 degrees of freedom, is an interval.

    Returns:
        A `Record`; its values are floats for NumPy, JAX scalars for JAX, None where undefined.

    Raises:
        ValueError: x is not two-dimensional or has no columns; it is traced by JAX (a record
            holds None and text: use `batched_metrics`); moments are given to a convention that
            scales rows; or blocks are given with moments, for such a convention, or not one a row.
        UnknownConventionError: no preset has this name.
    """
    chosen = named_convention(convention)
    if blocks is not None:
        return _with_errors(x, chosen, np.asarray(blocks))
    if isinstance(x, Moments):
        return _metrics_of_moments(x, chosen)
    x = _array(x, 2)
    if is_jax(x):
        return _metrics_of_jax(x, chosen)
    rows = float_rows(x)
    bad = nonfinite_rows(rows)
    if len(rows) == 0 or len(bad):
        values, method = np.full(1, np.nan if len(bad) else 0.0), None
    else:
        values, method = eigenvalues_of(rows, chosen)
    first = int(bad[0]) if len(bad) else None
    why = f"{len(bad)} of {len(rows)} rows hold NaN or infinity, the first is row {first}"
    return _record(values, len(rows), rows.shape[1], chosen, method, why)


def batched_metrics(
    xs: Array, mask: Array | None = None, convention: str | Convention = "default"
) -> BatchedRecord:
    """The metrics of many groups at once; traceable by `jax.jit`.

    Args:
        xs: [batch, rows, dim] of any float dtype, NumPy or JAX.
        mask: [batch, rows] bool, which rows exist; None for all.
        convention: a preset's name or a `Convention`.

    Returns:
        A `BatchedRecord` of arrays [batch]; NaN where undefined, with a status code.

    Raises:
        ValueError: xs is not three-dimensional or has no columns, or mask has another shape.
        UnknownConventionError: no preset has this name.
    """
    chosen = named_convention(convention)
    xs = _array(xs, 3)
    mask = mask if mask is None or is_jax(mask) else np.asarray(mask)
    if mask is not None and mask.shape != xs.shape[:2]:
        raise ValueError(f"mask has shape {mask.shape}; expected {xs.shape[:2]} for xs {xs.shape}")
    if is_jax(xs):
        return jax_batch(xs, mask, chosen)
    exists = np.ones(xs.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    groups = [float_rows(x[valid]) for x, valid in zip(xs, exists, strict=True)]
    summaries = [summary_of_rows(rows, chosen) for rows in groups]
    columns = {
        name: np.array([getattr(summary, name) for summary in summaries])
        for name in (*METRICS, "rank_ceiling", "status")
    }
    return BatchedRecord(**columns, num_rows=exists.sum(axis=1), error=np.zeros(len(xs)))


def routes(x: Array, convention: str | Convention = "default") -> Routes:
    """The three routes of one group of rows x [n, d], n >= 1, of any float dtype.

    alpha is fitted over the convention's ranks (11-100 where it has none). Computed on the host in
    float64; for a JAX array the spectra are JAX arrays again.

    Raises:
        ValueError: x is not two-dimensional, is empty, or holds NaN or infinity.
    """
    x = _array(x, 2)
    rows = float_rows(np.asarray(x))
    if not len(rows) or len(nonfinite_rows(rows)):
        raise ValueError(f"x {rows.shape} must have at least one row and only finite values")
    centered, uncentered = route_conventions(named_convention(convention))
    rows, exponent = rescaled(rows)
    spectra = spectra_of(rows, centered.alpha_ranks or DEFAULT_ALPHA_RANKS)

    def route(name: str, squares: F64, chosen: Convention, rank: str) -> Route:
        record = _record(squares, len(rows), rows.shape[1], chosen, spectra.method)
        values = route_values(name, squares, max(len(rows), 2))
        with np.errstate(over="ignore"):  # an eigenvalue beyond float64 is inf
            values = np.ldexp(values, exponent * (2 if name == "cov_centered" else 1))
        rank_value = getattr(record, rank)
        return Route(_like(x, values), rank_value, record.alpha_req, record.alpha_req_r2)

    return Routes(
        route("cov_centered", spectra.covariance, centered, "rankme"),
        route("svd_centered", spectra.centered, centered, "rankme_sigma"),
        route("svd_uncentered", spectra.uncentered, uncentered, "rankme_sigma"),
        mean_energy_share(spectra),
        spectra.disagreement,
        spectra.method,
    )


def _with_errors(x: Array | Moments, chosen: Convention, labels: NDArray[Any]) -> Record:
    if isinstance(x, Moments) or chosen.row_norm:
        what = "moments" if isinstance(x, Moments) else f"convention {chosen.name!r}"
        raise ValueError(f"blocks are given, but {what} give no standard errors: leave them out")
    record, rows = metrics(x, chosen), float_rows(np.asarray(x))
    if labels.shape != rows.shape[:1]:
        raise ValueError(f"blocks have shape {labels.shape}; expected one a row, {rows.shape[:1]}")
    if record.status not in ("ok", "short_spectrum"):
        return replace(record, num_blocks=len(np.unique(labels)))
    carried, blocks = carried_by_blocks(rows, labels, chosen)
    values = {name: None if (v := getattr(record, name)) is None else float(v) for name in METRICS}
    ceiling = min(len(rows) - int(chosen.centered), rows.shape[1])
    count = len(blocks)
    se = carried.errors(blocks, np.arange(count), count, chosen, values, ceiling)
    return replace(record, se=se, num_blocks=count)


def _metrics_of_moments(moments: Moments, chosen: Convention) -> Record:
    if chosen.row_norm:
        raise ValueError(
            f"convention {chosen.name!r} scales every row, which moments do not hold: pass the rows"
        )
    values = np.full(1, np.nan)
    if np.isfinite(np.asarray(moments.gram)).all():
        spectra = spectra_of_moments(moments, chosen.alpha_ranks or DEFAULT_ALPHA_RANKS)
        values = convention_values(spectra, chosen)
    record = _record(values, moments.rows, moments.gram.shape[0], chosen, "moments")
    return _jax_values(record) if is_jax(moments.gram) else record


def _metrics_of_jax(x: Array, chosen: Convention) -> Record:
    import jax

    if isinstance(x, jax.core.Tracer):
        raise ValueError(
            "spectra.metrics cannot be traced, since a record holds None and text. "
            "Use spectra.batched_metrics(x[None]) under jit or vmap."
        )
    if len(x) == 0:
        return _record(np.zeros(1), 0, x.shape[1], chosen, None)
    batch, repaired = jax_batch_and_repairs(x[None], None, chosen)
    values = {
        name: None if np.isnan(value := getattr(batch, name)[0]) else value for name in METRICS
    }
    status = STATUSES[int(batch.status[0])]
    gram = "rows" if len(x) <= x.shape[1] else "moments"
    solved = "svd" if len(repaired) else gram
    return Record(
        **values,
        num_rows=len(x), num_tokens=None, num_steps=None, num_traces=None,
        rank_ceiling=int(batch.rank_ceiling[0]), se=None, status=status,
        reason=reason(status, len(x), None, chosen),
        method=None if status == "nonfinite" else solved,
    )  # fmt: skip


def _record(
    values: F64, rows: int, dim: int, chosen: Convention, method: str | None, why: str | None = None
) -> Record:
    """The record of one spectrum, in floats."""
    summary = summary_of_values(values, rows, dim, chosen)
    status = STATUSES[int(summary.status)]
    found: dict[str, Any] = {name: value_or_none(getattr(summary, name)) for name in METRICS}
    return Record(
        **found,
        num_rows=rows, num_tokens=None, num_steps=None, num_traces=None,
        rank_ceiling=int(summary.rank_ceiling), se=None, status=status,
        reason=reason(status, rows, int((values > 0).sum()), chosen, why), method=method,
    )  # fmt: skip


def _array(x: Array, axes: int) -> Array:
    """The array, or a nested list as one, checked."""
    x = x if is_jax(x) else np.asarray(x)
    if x.dtype.kind not in "fiubV":
        raise ValueError(f"x has dtype {x.dtype}; expected real numbers")
    if x.ndim != axes or x.shape[-1] == 0:
        names = "[batch, rows, dim]" if axes == 3 else "[rows, dim]"
        raise ValueError(f"x has shape {x.shape}; expected {names} with at least one column")
    return x


def _like(x: Array, values: F64) -> Any:
    if not is_jax(x):
        return values
    import jax.numpy as jnp

    return jnp.asarray(values)


def _jax_values(record: Record) -> Record:
    import jax.numpy as jnp

    values: dict[str, Any] = {
        name: None if value is None else jnp.asarray(value)
        for name, value in ((name, getattr(record, name)) for name in METRICS)
    }
    return replace(record, **values)
