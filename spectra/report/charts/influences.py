"""The traces that carry most of a group's effective rank."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from spectra.outputs.diagnostics import INFLUENTIAL
from spectra.report.charts._style import IN_LAYER, IN_POOL, ROWS, by_model, chosen, tooltips
from spectra.report.charts.figure import Figure
from spectra.report.values import Fields


def figure(models: list[str], rows: Sequence[Fields]) -> Figure:
    """A bar for each trace of the group chosen."""
    chart = (
        alt.Chart(ROWS)
        .transform_filter(IN_POOL)
        .transform_filter(IN_LAYER)
        .transform_filter("group == '' ? datum.kind == 'global' : datum.group == group")
        .mark_bar(height={"band": 0.7})
        .encode(
            alt.X("influence:Q", title="what the trace adds to rankme"),
            alt.Y("trace:N", title=None).sort(field="influence", order="descending"),
            by_model(models),
            tooltip=tooltips(
                ("sample_id:N", "trace"),
                ("label:N", "group"),
                ("model:N", "model"),
                ("rows:Q", "rows in the group"),
                ("influence:Q", "adds to rankme"),
            ),
        )
        .add_params(*chosen("pool", "layer", "group"))
        .properties(height=22 * INFLUENTIAL * len(models))
    )
    whose = ""
    if len(models) > 1:
        chart = chart.encode(yOffset=alt.YOffset("model:N", sort=models))
        whose = " Each model has its own five; a trace without a model's bar is not among them."
    return Figure.of(
        chart,
        rows,
        name="influences",
        title="Traces that weigh most",
        about="To first order, by how much leaving a trace out would lower the group's effective "
        "rank (raise it, where negative). A group that rests on one trace says little of others."
        f"{whose}",
        alternative="Bars, one a trace, of the five traces with the largest influence.",
    )
