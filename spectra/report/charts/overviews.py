"""The step poolings side by side."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from spectra.report.charts._style import (
    IN_LAYER,
    INTERVAL_TIPS,
    METRIC_TITLE,
    ROWS,
    SERIES,
    by_series,
    chosen,
    layered,
    metric_fields,
    series,
    tooltips,
)
from spectra.report.charts.figure import Figure
from spectra.report.values import Fields

_TIPS = (("label:N", "group"), ("model:N", "model"), ("pool:N", "pool"), ("layer:Q", "layer"))
_HEIGHT = 260


def pools(models: list[str], rows: Sequence[Fields], names: Sequence[str]) -> Figure:
    """All rows and the segments by pooling."""
    base = _base(alt.Chart(ROWS).transform_filter(IN_LAYER), models).encode(
        alt.X("pool:N", title=None, sort=list(names)).axis(labelAngle=0),
        xOffset=alt.XOffset("place:N"),
    )
    chart = layered(_bars(base), _points(base)).add_params(*chosen("layer", "metric"))
    return Figure.of(
        chart.properties(height=_HEIGHT, title=METRIC_TITLE),
        rows,
        name="pools",
        title="Poolings",
        about="Pool “all” has every token's state; “mean”, “first” and “last” have one row a step, "
        "so fewer rows, which alone makes the rank smaller. Bars are 95 % intervals.",
        alternative="Dots with intervals for each pooling.",
    )


def _base(chart: alt.Chart, models: list[str]) -> alt.Chart:
    base = series(metric_fields(chart.transform_filter("datum.kind != 'category'")))
    places = " + ".join(f"(datum.series == '{name}' ? '{n}' : '')" for n, name in enumerate(SERIES))
    return base.transform_calculate(place=f"({places}) + datum.model").encode(
        *by_series(models), tooltip=tooltips(*_TIPS, ("rows:Q", "rows"), *INTERVAL_TIPS)
    )


def _bars(base: alt.Chart) -> alt.Chart:
    bars: alt.Chart = base.mark_rule(strokeWidth=1.5, opacity=0.7)
    return bars.encode(alt.Y("low:Q", title=None), alt.Y2("high:Q"))


def _points(base: alt.Chart) -> alt.Chart:
    points: alt.Chart = base.mark_point(filled=True, size=50, opacity=1)
    return points.encode(alt.Y("value:Q", title=None).scale(zero=False))
