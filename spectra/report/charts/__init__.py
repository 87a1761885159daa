"""The report's charts, a kind a file: Altair specifications and the rows behind them."""

from __future__ import annotations

from collections.abc import Sequence

from altair.utils.schemapi import debug_mode

from spectra.printable import Names
from spectra.report import rows
from spectra.report.charts import groups, influences, lines, overviews, routes, spectra
from spectra.report.charts.figure import Figure as Figure
from spectra.report.choices import Choice, choices
from spectra.report.sources import Shown
from spectra.report.values import METRICS, Fields


# Altair would check each part of a chart against Vega-Lite's schema, as often as it is nested, in
# half of a report's time. The parts are the same for any results: tests check them.
@debug_mode(False)
def figures(models: Sequence[Shown], names: Names) -> tuple[list[Figure], list[Choice]]:
    """Every chart that the models have values for, in the order of the page, and its choices."""
    shown = [one.name for one in models]
    by_group = list(rows.group_rows(models, names))
    chosen = choices(models, by_group)
    pools = [value for one in chosen if one.name == "pool" for value, _ in one.options]
    found = []
    if _any(by_group):
        found.append(groups.figure(shown, by_group))
    if _any(depths := list(rows.depth_rows(models, names))):
        found.append(lines.depth(shown, depths))
    if _any(drawn := list(rows.sweep_rows(models, names))):
        found.append(lines.sweep(shown, drawn))
    if spectrum := list(rows.spectrum_rows(models, names)):
        found.append(spectra.figure(shown, spectrum))
    by_route = list(rows.route_rows(models, names))
    if any(row["effective_rank"] is not None for row in by_route):
        found.append(routes.figure(shown, by_route, groups.order(by_group)))
    if len(pools) > 1 and _any(by_pool := list(rows.pool_rows(models, names))):
        found.append(overviews.pools(shown, by_pool, pools))
    if _any(by_layer := list(rows.layer_rows(models, names))):
        found.append(lines.layers(shown, by_layer))
    if strongest := list(rows.influence_rows(models, names)):
        found.append(influences.figure(shown, strongest))
    return [one.starting(chosen) for one in found], chosen


def _any(found: Sequence[Fields]) -> bool:
    return any(row[metric] is not None for row in found for metric in METRICS)
