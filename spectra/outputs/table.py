"""metrics.csv: every number of the four files as one tidy table, a value a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from spectra.grouping import Atoms, Group
from spectra.outputs.documents import FILES
from spectra.outputs.groups import ROUTES, PoolRecords
from spectra.record import Record
from spectra.statistics import METRICS

COLUMNS = (
    "model", "layer", "pool", "file", "group_kind", "segment", "category", "bin", "count", "route",
    "metric", "value", "se", "num_rows", "num_steps", "num_traces", "status",
)  # fmt: skip
ROUTE_METRICS = ("effective_rank", "alpha_req", "alpha_req_r2")


def csv_table(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> bytes:
    """CSV of the rows under `columns`: UTF-8, line feeds, empty where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def pool_rows(
    model: str, layer: int, pool: str, atoms: Atoms, records: PoolRecords
) -> Iterator[tuple[Any, ...]]:
    """The table's rows of one pool, in file order."""
    basic, depth, sweep, routes = FILES
    for file, groups in ((basic, atoms.basic_groups()), (depth, atoms.depth_groups())):
        for group in groups:
            record = records.records[group]
            for metric in METRICS:
                se = record.se.get(metric) if record.se else None
                yield (
                    model, layer, pool, file, *_labels(group), None, None, metric,
                    getattr(record, metric), se, *_counts(record), record.status,
                )  # fmt: skip
    for group, curve in records.curves.items():
        for point in curve:
            for metric, value in point["mean"].items():
                se = point["se"] and point["se"][metric]
                status = "ok" if value is not None else "undefined"
                yield (
                    model, layer, pool, sweep, *_labels(group), point["count"], None, metric,
                    value, se, point["count"], None, None, status,
                )  # fmt: skip
    for kind, compared in records.matched.items():
        file = depth if kind.endswith("bin") else basic
        for point in compared["groups"]:
            names = (kind, point["segment"], point["category"], point["bin"])
            for metric, value in point["mean"].items():
                se = point["se"] and point["se"][metric]
                status = "ok" if value is not None else "undefined"
                yield (
                    model, layer, pool, file, *names, compared["count"], None, metric,
                    value, se, compared["count"], None, None, status,
                )  # fmt: skip
    for group, group_routes in records.routes.items():
        record = records.records[group]
        for route in ROUTES:
            for metric in ROUTE_METRICS:
                yield (
                    model, layer, pool, routes, *_labels(group), None, route, metric,
                    group_routes[route][metric], None, *_counts(record),
                    group_routes[route]["status"],
                )  # fmt: skip


def _labels(group: Group) -> tuple[Any, ...]:
    return group.kind, group.segment, group.category, group.bin


def _counts(record: Record) -> tuple[Any, ...]:
    return record.num_rows, record.num_steps, record.num_traces


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    # A spreadsheet runs a cell that begins like a formula; an apostrophe makes it text.
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
