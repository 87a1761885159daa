"""The three routes' effective ranks of each group, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from spectra.report.charts._style import (
    COLOURS,
    IN_LAYER,
    IN_POOL,
    INK,
    ROWS,
    SHAPES,
    chosen,
    layered,
    tooltips,
)
from spectra.report.charts.figure import Figure
from spectra.report.rows import ROUTES
from spectra.report.values import Fields

_STEP = 22


def figure(models: list[str], rows: Sequence[Fields], groups: list[str]) -> Figure:
    """A line for each group (and model), a mark for each route."""
    names = list(ROUTES.values())
    several = len(models) > 1
    base = (
        alt.Chart(ROWS)
        .transform_filter(IN_POOL)
        .transform_filter(IN_LAYER)
        .transform_filter("isValid(datum.effective_rank)")
        .encode(
            alt.Y("group:N", title=None, sort=groups).axis(ticks=False, domain=False),
            tooltip=tooltips(
                ("label:N", "group"),
                ("model:N", "model"),
                ("route:N", "route"),
                ("effective_rank:Q", "effective rank"),
                ("rows:Q", "rows"),
                ("mean_energy_share:Q", "share of the energy in the mean"),
            ),
        )
    )
    if several:
        base = base.encode(yOffset=alt.YOffset("model:N", sort=models))
    x = alt.X("effective_rank:Q", title=None).scale(zero=True)
    span = base.mark_line(color=INK, opacity=0.3, strokeWidth=1).encode(
        x, detail=["group:N", "model:N"]
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x,
        alt.Color("route:N", title=None, sort=names).scale(
            domain=names, range=list(COLOURS[: len(names)])
        ),
        alt.Shape("route:N", title=None, sort=names).scale(
            domain=names, range=list(SHAPES[: len(names)])
        ),
    )
    order = f" Within a group, models from top to bottom: {', '.join(models)}." if several else ""
    chart = (
        layered(span, points)
        .add_params(*chosen("pool", "layer"))
        .properties(height=_STEP * len(groups) * (1 + len(models)) // 2, title="effective rank")
    )
    return Figure.of(
        chart,
        rows,
        name="routes",
        title="Three routes to an effective rank",
        about="The covariance's eigenvalues are the squares of the centred rows' singular values. "
        "Squaring widens their spread, so the entropy over eigenvalues gives a smaller rank than "
        "that over singular values: two statistics of one spectrum, both published as RankMe. "
        "Without centring, the mean is one more direction; where it holds much of the energy, it "
        "takes weight from all others, and the rank falls as a rule." + order,
        alternative="Three marks for each group, one a route.",
    )
