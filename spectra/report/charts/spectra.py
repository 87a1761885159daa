"""Eigenvalues by rank in log-log, with the line that alpha is the slope of."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from spectra.report.charts._style import (
    IN_FOCUS,
    IN_LAYER,
    IN_POOL,
    INK,
    ROWS,
    by_series,
    chosen,
    layered,
    series,
    tooltips,
)
from spectra.report.charts.figure import Figure
from spectra.report.values import Fields


def figure(models: list[str], rows: Sequence[Fields]) -> Figure:
    """Shares of the variance as points, the fitted range as a line."""
    kept = alt.Chart(ROWS).transform_filter(IN_POOL).transform_filter(IN_LAYER)
    base = series(kept).transform_filter(IN_FOCUS)
    base = base.encode(
        alt.X("rank:Q", title="rank").scale(type="log", nice=False).axis(format="~s", tickCount=6),
        *by_series(models),
        detail=["model:N", "group:N"],
    )
    y = alt.Y("share:Q", title=None).scale(type="log").axis(format="~p", tickCount=6)
    points = (
        base.transform_filter("isValid(datum.share)")
        .mark_point(filled=True, size=16, opacity=0.8)
        .encode(
            y,
            tooltip=tooltips(
                ("label:N", "group"),
                ("model:N", "model"),
                ("rank:Q", "rank"),
                ("eigenvalue:Q", "eigenvalue"),
                ("share:Q", "share of the variance"),
            ),
        )
    )
    fitted = (
        base.transform_filter("isValid(datum.fitted)")
        .mark_line(color=INK, strokeWidth=1.5)
        .encode(alt.Y("fitted:Q", title=None), color=alt.value(INK))
    )
    chart = (
        layered(points, fitted)
        .add_params(*chosen("pool", "layer", "group"))
        .properties(height=320, title="eigenvalue's share of the variance")
    )
    return Figure.of(
        chart,
        rows,
        name="spectra",
        title="Eigenspectra",
        about="The leading eigenvalues of each group's covariance. Where they follow a power law, "
        "they lie on a straight line. Where a line is drawn, alpha was fitted on the ranks that it "
        "covers (weights 1/rank), and its slope is -alpha. A steeper line means that fewer "
        "directions hold the variance.",
        alternative="Points falling from left to right on logarithmic axes, with a fitted line.",
    )
