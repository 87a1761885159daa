"""Effective rank and alpha of the segments and categories, as they come and at matched counts."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from spectra.report.charts._style import (
    IN_LAYER,
    IN_POOL,
    INTERVAL_TIPS,
    METRIC_TITLE,
    ROWS,
    SHAPES,
    by_model,
    chosen,
    layered,
    metric_fields,
    tooltips,
)
from spectra.report.charts.figure import Figure
from spectra.report.rows import AS_THEY_COME, MATCHED
from spectra.report.values import METRICS, Fields

_STEP = 13


def figure(models: list[str], rows: Sequence[Fields]) -> Figure:
    """A line for each group: value and interval, all rows and matched count one below the other."""
    groups = order(rows)
    base = metric_fields(alt.Chart(ROWS).transform_filter(IN_POOL).transform_filter(IN_LAYER))
    base = base.transform_calculate(line="datum.model + '\\n' + datum.counts").encode(
        y=alt.Y("group:N", title=None, sort=groups).axis(ticks=False, domain=False),
        yOffset=alt.YOffset(
            "line:N", sort=[f"{m}\n{c}" for m in models for c in (AS_THEY_COME, MATCHED)]
        ),
        color=by_model(models),
        tooltip=tooltips(
            ("label:N", "group"),
            ("model:N", "model"),
            ("counts:N", "of"),
            ("rows:Q", "rows"),
            *INTERVAL_TIPS,
            ("ceiling:Q", "largest rank possible"),
            ("traces:Q", "traces"),
        ),
    )
    ends = alt.X("low:Q", title=None), alt.X2("high:Q")
    points = base.mark_point(filled=True, size=58, opacity=1).encode(
        alt.X("value:Q", title=None).scale(zero=False, nice=True),
        alt.Shape("counts:N", title=None).scale(
            domain=[AS_THEY_COME, MATCHED], range=list(SHAPES[:2])
        ),
    )
    chart = (
        layered(base.mark_rule(strokeWidth=1.5, opacity=0.7).encode(*ends), points)
        .add_params(*chosen("pool", "layer", "metric"))
        .properties(height=_STEP * 2 * len(models) * len(groups), title=METRIC_TITLE)
    )
    return Figure.of(
        chart,
        rows,
        name="groups",
        title="Segments and categories",
        about="Effective ranks rise with the number of rows, and alpha changes with it: compare "
        "groups at the matched count (diamonds), where every group of a kind has as many rows, not "
        "as they come (circles). "
        "Bars are 95 % intervals for the statistic at that number of rows.",
        alternative="Dots with intervals, one line for each group; the table at the end of the "
        "page has the numbers.",
    )


def order(rows: Sequence[Fields]) -> list[str]:
    """Groups from top to bottom: all rows, segments, then categories by falling effective rank."""
    first: dict[str, Fields] = {}
    for row in sorted(rows, key=lambda row: (not row["primary"], row["pool"] != "all")):
        first.setdefault(row["group"], row)
    kinds = ("global", "segment", "category")

    def key(row: Fields) -> tuple[int, float]:
        rank = row[METRICS[0]]
        falls = 0.0 if rank is None or row["kind"] != "category" else -rank
        return kinds.index(row["kind"]), falls

    return [row["group"] for row in sorted(first.values(), key=key)]
