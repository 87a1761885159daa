"""What the charts share: colours, type, and the choices that the page's controls make."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import altair as alt

from spectra.report.values import TITLES

Chart: TypeAlias = "alt.Chart | alt.LayerChart"

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito, for all kinds of colour vision; each readable on white and on near black."""

SHAPES = ("circle", "diamond", "square")
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
"""Of the series, in their order."""

INK = "currentColor"
"""Text and lines take the page's colour, light or dark; a figure on its own is black on white."""

FORMAT = ".6~g"

_NARROW = "containerSize()[0] > 0 && containerSize()[0] < 500"
"""Whether the page is a phone's; a picture has no container."""


def chosen(*choices: str) -> list[alt.Parameter]:
    """Parameters that the page sets, by the names of its choices."""
    return [alt.param(name=name, value=None) for name in choices]


ROWS = alt.NamedData("rows")
"""The data of every chart, which the page or a picture brings."""

IN_LAYER = "layer == 0 ? datum.primary : datum.layer == layer"
IN_POOL = "datum.pool == pool"
IN_FOCUS = "group == '' ? datum.kind != 'category' : datum.group == group || datum.kind == 'global'"
"""The rows that a chart draws in colour; the others are faint."""

METRIC_TITLE = alt.TitleParams(text=alt.expr(f"{json.dumps(TITLES)}[metric]"))


def layered(*charts: alt.Chart) -> alt.LayerChart:
    """One on top of the other, the last at the front."""
    return alt.LayerChart(layer=list(charts))


def metric_fields(chart: alt.Chart) -> alt.Chart:
    """With `value`, `low`, `high` and, in words, `interval` of the metric chosen.

    Rows without a value are left out.
    """
    return chart.transform_calculate(
        value="datum[metric]",
        low="datum[metric + '_low']",
        high="datum[metric + '_high']",
        interval="isValid(datum.low) ? "
        f"format(datum.low, '{FORMAT}') + ' to ' + format(datum.high, '{FORMAT}') : 'none'",
    ).transform_filter("isValid(datum.value)")


def by_model(models: list[str]) -> alt.Color:
    """A colour for each model; a legend where there are several."""
    return alt.Color(
        "model:N",
        title=None,
        sort=models,
        scale=alt.Scale(domain=models, range=list(COLOURS[: len(models)])),
        legend=alt.Legend() if len(models) > 1 else None,
    )


SERIES = ("global", "thought", "solution", "chosen category")


def series(chart: alt.Chart) -> alt.Chart:
    """With `series`: the segment, or that a row is of a category."""
    return chart.transform_calculate(
        series=f"datum.kind == 'category' ? {json.dumps(SERIES[-1])} : datum.group"
    )


def by_series(models: list[str]) -> list[Any]:
    """Colour by series; by model where there are several, and series by dashes."""
    scale = alt.Scale(domain=list(SERIES), range=list(COLOURS[: len(SERIES)]))
    if len(models) == 1:
        return [alt.Color("series:N", title=None, scale=scale, sort=list(SERIES))]
    dashes = alt.Scale(domain=list(SERIES), range=DASHES)
    return [by_model(models), alt.StrokeDash("series:N", title=None, scale=dashes)]


def tooltips(*fields: tuple[str, str]) -> list[alt.Tooltip]:
    """Of (field and type, title): numbers to six digits."""
    return [
        alt.Tooltip(field, title=title, format=FORMAT)
        if field.endswith(":Q")
        else alt.Tooltip(field, title=title)
        for field, title in fields
    ]


INTERVAL_TIPS = (("value:Q", "value"), ("interval:N", "95 % interval"))


def config() -> dict[str, Any]:
    """The look of all charts."""
    return {
        "background": "transparent",
        "font": "Inter",
        "view": {"stroke": None},
        "axis": {
            "labelColor": INK,
            "titleColor": INK,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "labelLimit": {"expr": f"{_NARROW} ? 120 : 220"},
            "domainColor": INK,
            "domainOpacity": 0.5,
            "tickColor": INK,
            "tickOpacity": 0.5,
            "gridColor": INK,
            "gridOpacity": 0.12,
            "labelFontSize": 12,
            "titleFontSize": 12,
        },
        "axisXQuantitative": {"tickCount": {"expr": "ceil(width / 70)"}},
        "legend": {
            "orient": "top",
            "direction": "horizontal",
            "columns": {"expr": f"{_NARROW} ? 1 : 4"},
            "layout": {"top": {"anchor": "start", "direction": "vertical", "margin": 4}},
            "labelColor": INK,
            "labelFontSize": 12,
            "labelLimit": 200,
            "symbolOpacity": 1,
            "titleColor": INK,
            "symbolStrokeWidth": 2,
        },
        "title": {
            "color": INK,
            "anchor": "start",
            "fontSize": 13,
            "fontWeight": "normal",
            "offset": 6,
        },
    }
