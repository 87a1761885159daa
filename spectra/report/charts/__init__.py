"""The report's charts, a kind a file: Altair specifications and the rows behind them."""

from __future__ import annotations

from collections.abc import Sequence

from spectra.report import rows
from spectra.report.charts import groups, influences, lines, overviews, routes, spectra
from spectra.report.charts.figure import Figure as Figure
from spectra.report.sources import Names, Shown


def figures(models: Sequence[Shown], names: Names) -> list[Figure]:
    """Every chart that the models have data for, in the order of the page."""
    shown = [one.name for one in models]
    by_group = list(rows.group_rows(models, names))
    by_layer = list(rows.layer_rows(models, names))
    pools = list(dict.fromkeys(pool for one in models for pool in one.result.pools))
    found = [groups.figure(shown, by_group)]
    if depths := list(rows.depth_rows(models, names)):
        found.append(lines.depth(shown, depths))
    if drawn := list(rows.sweep_rows(models, names)):
        found.append(lines.sweep(shown, drawn))
    if spectrum := list(rows.spectrum_rows(models, names)):
        found.append(spectra.figure(shown, spectrum))
    found.append(routes.figure(shown, list(rows.route_rows(models, names)), groups.order(by_group)))
    if len(pools) > 1:
        detailed = {(one.name, layer) for one in models for layer in one.detailed}
        kept = [row for row in by_layer if (row["model"], row["layer"]) in detailed]
        found.append(overviews.pools(shown, kept, pools))
    if any(len(one.result.layers) > 1 for one in models):
        found.append(overviews.layers(shown, by_layer))
    if strongest := list(rows.influence_rows(models, names)):
        found.append(influences.figure(shown, strongest))
    return found
