"""The figures of `svd_vs_cov` as a picture: time against n/d, errors against condition number.

Needs the extra `report`; `bench.picture` says so where it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import altair as alt

from bench._tables import Cell

COLOURS = {
    "engine": "#000000",
    "numpy_float64": "#0072B2",
    "numpy_float32": "#56B4E9",
    "jax_float64": "#D55E00",
    "jax_float32": "#E69F00",
}
"""Of Okabe and Ito, for all kinds of colour vision: a hue a library, the lighter for float32."""

SHAPES = {"Gram matrix": "circle", "SVD of the rows": "diamond"}
ROUTES = {
    "cov_centered": "covariance, centred",
    "svd_centered": "SVD of rows, centred",
    "svd_uncentered": "SVD of rows as they are",
}
ERRORS = {
    "rank_error": (1e-9, "Error of the effective rank (dashed: the engine's bar of 1e-9)"),
    "value_error": (1.0, "Largest error of a singular value (dashed: nothing left of it)"),
}
"""Measure to where its dashed line is, and its heading."""

LEAST_ERROR = 1e-16
RATIOS = [1 / 50, 1 / 20, 1 / 10, 1 / 5, 1 / 2, 1, 2, 5, 10, 20, 50]
WIDTH = 830


def svg(document: Mapping[str, Any]) -> str:
    """The picture of a document of `svd_vs_cov`, about 900 px wide."""
    cells = document["cells"]
    parts = [_times(cells), *(_errors(cells, measure) for measure in ERRORS)]
    chart = (
        alt.vconcat(*parts, spacing=26, title=_title(document))
        .configure_view(stroke="#cccccc")
        .configure_axis(gridColor="#eeeeee", titleFontWeight="normal")
        .configure_header(titleFontWeight="normal", labelFontSize=11)
        .configure_legend(orient="top", titleFontWeight="normal", titleOrient="left", symbolSize=60)
    )
    out = StringIO()
    chart.save(out, format="svg")
    return out.getvalue()


def _times(cells: Sequence[Cell]) -> alt.FacetChart:
    """A panel for each population and width; the engine itself is the line at 1."""
    rows = [
        {
            "population": _plain(cell["spectrum"]),
            "width": f"d = {cell['dim']}",
            "aspect": cell["rows"] / cell["dim"],
            "way": way,
            "time": figures["time_over_engine"],
            "engine by": _engine_by(cell),
        }
        for cell in cells
        for way, figures in cell["ways"].items()
    ]
    populations = _unique(rows, "population")
    aspects = sorted({row["aspect"] for row in rows})
    base = alt.Chart().encode(
        alt.X("aspect:Q", title="n/d")
        .scale(type="log", nice=False, padding=12)
        .axis(values=aspects, format="~g"),
        alt.Y("time:Q", title="time / the engine's")
        .scale(type="log", nice=False, padding=8)
        .axis(values=RATIOS, format="~g"),
        _colour(),
    )
    points = base.mark_point(size=40, filled=True, opacity=1, aria=False)
    return (
        alt.layer(base.mark_line(), points.encode(_shape()))
        .properties(width=WIDTH / len(populations) - 18, height=110)
        .facet(
            column=alt.Column("population:N", title=None, sort=populations),
            row=alt.Row("width:N", title=None, sort=_unique(rows, "width")),
            data=alt.InlineData(values=rows),
            spacing=12,
            title=_subtitle("Time for all three routes, as a multiple of the engine's"),
        )
    )


def _errors(cells: Sequence[Cell], measure: str) -> alt.FacetChart:
    """A panel for each route; every sample is a point at its own condition number."""
    dashed, heading = ERRORS[measure]
    rows = [
        {
            "route": ROUTES[route],
            "condition": cell["condition"][route],
            "way": way,
            "error": max(error, LEAST_ERROR),
            "engine by": _engine_by(cell),
        }
        for way in reversed(COLOURS)  # the engine's points lie on top
        for cell in cells
        for route, error in cell["ways"][way][measure].items()
    ]
    points = (
        alt.Chart()
        .mark_point(size=32, filled=True, opacity=0.75, aria=False)
        .encode(
            alt.X("condition:Q", title="condition number of the sample")
            .scale(type="log")
            .axis(format=".0e", tickCount=5),
            alt.Y("error:Q", title="relative error")
            .scale(type="log")
            .axis(format=".0e", tickCount=6),
            _colour(),
            _shape(),
        )
    )
    line = alt.Chart().mark_rule(strokeDash=[4, 4], color="#888888").encode(y=alt.datum(dashed))
    return (
        alt.layer(line, points)
        .properties(width=WIDTH / len(ROUTES) - 18, height=170)
        .facet(
            column=alt.Column("route:N", title=None, sort=list(ROUTES.values())),
            data=alt.InlineData(values=rows),
            spacing=12,
            title=_subtitle(heading),
        )
    )


def _colour() -> alt.Color:
    scale = alt.Scale(domain=list(COLOURS), range=list(COLOURS.values()))
    names = "replace(replace(replace(datum.label, '_', ' '), 'numpy', 'NumPy'), 'jax', 'JAX')"
    return alt.Color("way:N", title=None, scale=scale, legend=alt.Legend(labelExpr=names))


def _shape() -> alt.Shape:
    scale = alt.Scale(domain=list(SHAPES), range=list(SHAPES.values()))
    return alt.Shape("engine by:N", title="engine by", scale=scale)


def _engine_by(cell: Cell) -> str:
    return "SVD of the rows" if cell["engine_method"] == "svd" else "Gram matrix"


def _title(document: Mapping[str, Any]) -> alt.TitleParams:
    card = document["card"]
    hardware, sizes = card["hardware"], card["sizes"]
    place = hardware["cpu"] if sizes["backend"] == "cpu" else ", ".join(hardware["jax_devices"])
    lines = [
        f"n x d: {', '.join(sizes['rows_x_dim'])}. Truth: NumPy's float64 SVDs of the same rows.",
        f"{place}, {hardware['cores']} cores, {card['date'][:10]}, commit {card['commit']}. "
        f"Errors below {LEAST_ERROR:.0e} are drawn there.",
        "NumPy decomposes float32 matrices in float64 and rounds what it returns.",
    ]
    return alt.TitleParams(
        "Three routes to the effective rank: the engine and direct decompositions",
        subtitle=lines,
        anchor="start",
        fontSize=16,
        offset=12,
    )


def _subtitle(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", fontSize=12)


def _plain(name: str) -> str:
    return name.replace("condition_", "condition ").replace("_", " ")


def _unique(rows: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))
