"""Over relative depth, counts and layers: a line for each group, some in colour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

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


def layers(models: list[str], rows: Sequence[Fields]) -> Figure:
    """Metrics over the layers; over their place in the model where models differ in depth."""
    by_place = _differ_in_depth(rows)
    if by_place:
        ticks = [number / 10 for number in range(11)]
        x = alt.X("relative_depth:Q", title="layer / number of blocks")
        x = x.scale(domain=[0, 1]).axis(values=ticks)
    else:
        x = alt.X("layer:Q", title="layer").scale(nice=False, zero=False, padding=12)
        x = x.axis(tickMinStep=1, format="d")
    tips = (
        ("layer:Q", "layer"),
        ("relative_depth:Q", "layer / number of blocks"),
        ("final_norm:N", "after the final norm"),
    )
    return Figure.of(
        _lines(models, x, *tips, every_layer=True),
        rows,
        name="layers",
        title="Through the layers",
        about=" ".join([*_about_layers(rows, several=len(models) > 1, by_place=by_place), _FOCUS]),
        alternative="Lines over layers with bands; the data behind them can be downloaded.",
    )


def _differ_in_depth(rows: Sequence[Fields]) -> bool:
    """Whether all models' numbers of blocks are known, and differ."""
    blocks = {row["model"]: row["num_hidden_layers"] for row in rows}
    return None not in blocks.values() and len(set(blocks.values())) > 1


def _about_layers(rows: Sequence[Fields], *, several: bool, by_place: bool) -> Iterator[str]:
    yield "Layer 0 is the embeddings, layer k the state after block k."
    if by_place:
        yield "The models differ in depth, so a layer stands at its number over that of the blocks."
    elif several:
        yield "Where models differ in depth, layers of one number are not at one place in them."
    counts: defaultdict[Any, set[int]] = defaultdict(set)
    norms: defaultdict[Any, set[bool | None]] = defaultdict(set)
    for row in rows:
        counts[row["model"], row["pool"], row["group"]].add(row["rows"])
        norms[row["model"]].add(row["final_norm"])
    if any(len(found) > 1 for found in counts.values()):
        yield "Tokens were left out layer by layer, so a group's rows differ between layers."
    else:
        yield "A group has the same rows in every layer; groups differ in rows."
    if any(len(found) > 1 for found in norms.values()):
        yield "The final norm was applied to some layers and not to others (point at one to see)."


def _lines(
    models: list[str], x: alt.X, *tips: tuple[str, str], every_layer: bool = False
) -> alt.LayerChart:
    rows = alt.Chart(ROWS).transform_filter(IN_POOL)
    rows = rows if every_layer else rows.transform_filter(IN_LAYER)
    choices = ("pool", *(() if every_layer else ("layer",)), "metric", "group")
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
        .add_params(*chosen(*choices))
        .properties(height=_HEIGHT, title=METRIC_TITLE)
    )
