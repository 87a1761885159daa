"""The data of the charts: plain rows, one for every point that a chart can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from spectra.grouping import Group
from spectra.outputs.walk import basic_entries, curves
from spectra.printable import Names, printable
from spectra.report.sources import Shown
from spectra.report.values import Fields, of_draws, of_record
from spectra.results import PoolMetrics
from spectra.results.records import group_name

BASIC = ("global", "segment", "category")
AS_THEY_COME, MATCHED = "all rows", "matched count"


def head(shown: Shown, pool: PoolMetrics) -> Fields:
    """Where a row comes from; `primary` is whether its layer is the model's first."""
    return {
        "model": shown.name,
        "layer": pool.layer,
        "primary": pool.layer == shown.result.primary,
        "pool": pool.pool,
    }


def named(group: Group, names: Names) -> Fields:
    """A group in a row: its name on the page, its kind, and its label in full."""
    label = group_name(group)
    return {"group": names.of(group, label), "kind": group.kind, "label": printable(label)}


def group_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """Each group as it comes and, where that was asked for, at the count its kind shares."""
    for shown in models:
        for pool in shown.pools():
            first = head(shown, pool)
            for group, record in pool.records.items():
                if group.kind in BASIC:
                    counts = {"counts": AS_THEY_COME, "rows": record.num_rows}
                    more = {"traces": record.num_traces, "ceiling": record.rank_ceiling}
                    yield {**first, **named(group, names), **counts, **more, **of_record(record)}
            for group, count, point in pool.matched():
                if group.kind in BASIC:
                    record, ceiling = pool.records[group], _ceiling(pool, count)
                    values = of_draws(point, pool.sweep["repeats"], ceiling)
                    counts = {"counts": MATCHED, "rows": count}
                    more = {"traces": record.num_traces, "ceiling": ceiling}
                    yield {**first, **named(group, names), **counts, **more, **values}


def depth_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """Each bin of relative depth, of all rows, the segments and the categories."""
    for shown in models:
        for pool in shown.pools():
            first, edges = head(shown, pool), pool.depth["edges"]
            for group, record in pool.records.items():
                if group.bin is not None:
                    whole = Group(_KINDS[group.kind], group.segment, group.category)
                    middle = (edges[group.bin] + edges[group.bin + 1]) / 2
                    place = {"depth": middle, "bin": group.bin, "rows": record.num_rows}
                    yield {**first, **named(whole, names), **place, **of_record(record)}


def sweep_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """Each count of the sweep, of all rows, the segments and the categories."""
    for shown in models:
        for pool in shown.pools():
            first, repeats = head(shown, pool), pool.sweep["repeats"]
            for group, points in curves(pool.sweep):
                for point in points:
                    values = of_draws(point, repeats, _ceiling(pool, point["count"]))
                    yield {**first, **named(group, names), "rows": point["count"], **values}


def spectrum_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """Leading eigenvalues of the covariance as shares of the variance, and alpha's line there.

    The line is that of the fit: through the weighted mean of ln share and ln rank over the fitted
    ranks, with the slope -alpha.
    """
    for shown in models:
        for pool in shown.pools():
            first, ranks = head(shown, pool), pool.basic["convention"]["alpha_ranks"]
            for group, entry in basic_entries(pool.routes):
                values = np.array(entry["cov_centered"]["values"])
                if group.kind not in BASIC or not entry["total_variance"] or len(values) == 0:
                    continue
                share = values / entry["total_variance"]
                line = _fitted(share, entry["cov_centered"]["alpha_req"], ranks)
                for place, one in enumerate(share.tolist()):
                    yield {
                        **first,
                        **named(group, names),
                        "rank": place + 1,
                        "eigenvalue": float(values[place]),
                        "share": one if one > 0 else None,
                        "fitted": line.get(place + 1),
                    }


def route_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """The effective rank of each group by each route."""
    for shown in models:
        for pool in shown.pools():
            for group, entry in basic_entries(pool.routes):
                if group.kind in BASIC:
                    for route, title in ROUTES.items():
                        yield {
                            **head(shown, pool),
                            **named(group, names),
                            "route": title,
                            "effective_rank": entry[route]["effective_rank"],
                            "rows": entry["num_rows"],
                            "mean_energy_share": entry["mean_energy_share"],
                        }


def pool_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """All rows and the segments by pooling."""
    for shown in models:
        for pool in shown.pools():
            for group, record in pool.records.items():
                if group.kind in ("global", "segment"):
                    rest = {"rows": record.num_rows, **of_record(record)}
                    yield {**head(shown, pool), **named(group, names), **rest}


def layer_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """All rows, the segments and the categories in every layer, of models run in several."""
    for shown in models:
        profile = shown.profile
        if profile is None:
            continue
        for pool in profile.pools:
            for group, points in profile.groups(pool):
                for point in points:
                    yield {
                        "model": shown.name,
                        "layer": point.layer,
                        "relative_depth": point.relative_depth,
                        "num_hidden_layers": profile.num_hidden_layers,
                        "final_norm": point.final_norm,
                        "pool": pool,
                        **named(group, names),
                        "rows": point.record.num_rows,
                        **of_record(point.record),
                    }


def influence_rows(models: Sequence[Shown], names: Names) -> Iterator[Fields]:
    """The traces that carry most of each group's effective rank, as its diagnostics name them."""
    traces = Names()
    for shown in models:
        for pool in shown.pools():
            for group, record in pool.records.items():
                strongest = (record.diagnostics or {}).get("influential_traces")
                if group.kind in BASIC and strongest and record.rankme is not None:
                    for one in strongest:
                        yield {
                            **head(shown, pool),
                            **named(group, names),
                            "trace": traces.of(one["sample_id"], one["sample_id"]),
                            "sample_id": printable(one["sample_id"]),
                            "rows": one["num_rows"],
                            "influence": one["rankme"],
                        }


ROUTES = {
    "cov_centered": "covariance, centred",
    "svd_centered": "singular values, centred",
    "svd_uncentered": "singular values, mean left in",
}

_KINDS = {"bin": "global", "segment_bin": "segment", "category_bin": "category"}


def _ceiling(pool: PoolMetrics, rows: int) -> int:
    """The largest rank that so many rows can have under the run's convention."""
    one = pool.basic["convention"]
    exist = min(rows - int(one["centered"]), pool.dim)
    return min(exist, one["kept"] or exist)


def _fitted(
    share: np.ndarray, alpha: float | None, ranks: Sequence[int] | None
) -> dict[int, float]:
    if alpha is None or ranks is None or len(share) < ranks[1]:
        return {}
    fitted = np.arange(ranks[0], ranks[1] + 1)
    weights, x = 1 / fitted, np.log(fitted)
    with np.errstate(all="ignore"):  # of a file that was changed; what overflows is not drawn
        y = np.log(share[fitted - 1])
        level = float((weights * (y + alpha * x)).sum() / weights.sum())
        line = np.exp(level - alpha * x)
    drawn = zip(fitted.tolist(), line.tolist(), strict=True)
    return {rank: one for rank, one in drawn if math.isfinite(one)}
