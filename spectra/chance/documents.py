"""Baselines as files: one JSON document, and one tidy table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spectra.chance.baselines import Baselines, Chance
from spectra.outputs import basic_labels, csv_table
from spectra.provenance import input_identity, versions

FORMAT_VERSION = 1
JSON_FILE, TABLE_FILE = "baselines.json", "baselines.csv"
P_VALUES = (
    "two-sided: the share of all labelings, the observed one among them, whose metric is as far "
    "from the mean over all as the observed one's; p_holm: Holm's adjustment over the groups of a "
    "kind, a metric at a time"
)
SAME_COVARIANCE = (
    "rows with the covariance of the first draw from the group, as many as were drawn; that of a "
    "draw is steeper than its group's, so that Gaussian states, too, lie above this"
)
_SPREADS = ("permuted", "isotropic", "same_covariance")
COLUMNS = (
    *("group_kind", "segment", "category", "num_rows", "count", "metric", "observed"),
    *(f"{name}_{part}" for name in _SPREADS for part in ("mean", "sd")),
    *("p", "p_holm"),
)


def document(found: Baselines) -> dict[str, Any]:
    """All of it."""
    config = found.config
    source = {**found.source.asdict(), **input_identity(found.source.artifact)}
    return {
        "format_version": FORMAT_VERSION,
        **{name: value for name, value in source.items() if name != "left_out"},
        "convention": config.chosen.asdict(),
        "categories": found.names.asdict(),
        "permutations": found.permutations,
        "permuted": "segment and category of a trace's steps together, within the trace",
        "gaussians": found.gaussians,
        "same_covariance": SAME_COVARIANCE,
        "draws": {"repeats": config.repeats, "seed": config.seed},
        "p_values": P_VALUES,
        "versions": versions(),
        "warnings": list(found.warnings),
        "groups": [
            {
                **basic_labels(group),
                "num_rows": rows,
                "count": count,
                "metrics": {name: _chance(one) for name, one in metrics.items()},
            }
            for group, (rows, count, metrics) in found.groups.items()
        ],
    }


def table(found: Baselines) -> bytes:
    """A metric a line, under `COLUMNS`."""
    return csv_table(COLUMNS, _rows(found))


def _rows(found: Baselines) -> Iterator[tuple[Any, ...]]:
    for group, (rows, count, metrics) in found.groups.items():
        for name, one in metrics.items():
            spreads = [part for spread in _SPREADS for part in getattr(one, spread)]
            head = (*basic_labels(group).values(), rows, count, name, one.observed)
            yield (*head, *spreads, one.p, one.p_holm)


def _chance(one: Chance) -> dict[str, Any]:
    return {
        "observed": one.observed,
        **{name: getattr(one, name)._asdict() for name in _SPREADS},
        "p": one.p,
        "p_holm": one.p_holm,
    }
