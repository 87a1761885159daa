"""Profiles over relative depth and curves over counts: a line for each group, some in colour."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from spectra.report.charts._style import (
    IN_FOCUS,
    IN_LAYER,
    IN_POOL,
    INK,
    INTERVAL_TIPS,
    METRIC_TITLE,
    ROWS,
    by_series,
    chosen,
    layered,
    metric_fields,
    series,
    tooltips,
)
from spectra.report.charts.figure import Figure
from spectra.report.values import Fields

_HEIGHT = 300
_FOCUS = (
    "All rows, thought and solution are in colour, the categories faint; choose a category above "
    "to see it beside all rows. Bands are 95 % intervals."
)


def depth(models: list[str], rows: Sequence[Fields]) -> Figure:
    """Metrics over relative depth."""
    ticks = [number / 10 for number in range(11)]
    x = (
        alt.X("depth:Q", title="relative depth in the trace")
        .scale(domain=[0, 1])
        .axis(values=ticks)
    )
    return Figure.of(
        _lines(models, x, ("bin:Q", "bin")),
        rows,
        name="depth",
        title="Through the trace",
        about=f"Each trace is cut into bins of relative depth. {_FOCUS}",
        alternative="Lines over relative depth with bands; the data behind them can be downloaded.",
    )


def sweep(models: list[str], rows: Sequence[Fields]) -> Figure:
    """Metrics over the number of rows drawn."""
    counts = sorted({row["rows"] for row in rows})
    x = (
        alt.X("rows:Q", title="rows drawn")
        .scale(type="log", base=2)
        .axis(format=",d", values=counts)
    )
    return Figure.of(
        _lines(models, x),
        rows,
        name="sweep",
        title="How the metrics grow with rows",
        about="Means over nested subsamples without replacement. A curve that has not levelled "
        f"off says that more rows would change the value further. {_FOCUS}",
        alternative="Lines over the number of rows with bands; the data behind them can be "
        "downloaded.",
    )


def _lines(models: list[str], x: alt.X, *tips: tuple[str, str]) -> alt.LayerChart:
    rows = alt.Chart(ROWS).transform_filter(IN_POOL).transform_filter(IN_LAYER)
    base = series(metric_fields(rows)).encode(x, detail=["model:N", "group:N"])
    y = alt.Y("value:Q", title=None).scale(zero=False)
    tooltip = tooltips(
        ("label:N", "group"), ("model:N", "model"), *tips, ("rows:Q", "rows"), *INTERVAL_TIPS
    )
    focus, (colour, *dashes) = base.transform_filter(IN_FOCUS), by_series(models)
    band = focus.mark_area(opacity=0.15).encode(
        alt.Y("low:Q", title=None), alt.Y2("high:Q"), colour
    )
    focus = focus.encode(colour)
    return (
        layered(
            base.mark_line(color=INK, opacity=0.18, strokeWidth=1).encode(y),
            base.mark_point(filled=True, color=INK, opacity=0.25, size=14).encode(
                y, tooltip=tooltip
            ),
            band,
            focus.mark_line(strokeWidth=2).encode(y, *dashes),
            focus.mark_point(filled=True, size=40, opacity=1).encode(y, tooltip=tooltip),
        )
        .add_params(*chosen("pool", "layer", "metric", "group"))
        .properties(height=_HEIGHT, title=METRIC_TITLE)
    )
