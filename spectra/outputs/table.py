"""metrics.csv: every number of the four files as one tidy table, a value a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from spectra.grouping import Group
from spectra.outputs.documents import FILES
from spectra.outputs.groups import ROUTES
from spectra.outputs.walk import Entry, basic_entries, curves, depth_entries, matched_entries
from spectra.statistics import METRICS

COLUMNS = (
    "model", "layer", "pool", "file", "group_kind", "segment", "category", "bin", "count", "route",
    "metric", "value", "se", "num_rows", "num_steps", "num_traces", "status",
)  # fmt: skip
ROUTE_METRICS = ("effective_rank", "alpha_req", "alpha_req_r2")


def csv_table(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> bytes:
    """CSV of the rows under `columns`: UTF-8, line feeds, empty where there is no value."""
    return csv_lines([tuple(columns)]) + csv_lines(rows)


def csv_lines(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """The same without a heading: a line a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def pool_rows(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """The table's rows of one pool's four files, in file order."""
    basic, depth, sweep, routes = (documents[name] for name in FILES)
    head = (basic["model"], basic["layer"], basic["pool"])
    records = dict(basic_entries(basic))
    for row in (
        *_records(FILES[0], records.items()),
        *_records(FILES[1], depth_entries(depth)),
        *_points(FILES[2], ((g, p["count"], p) for g, points in curves(sweep) for p in points)),
        *_points(FILES[0], matched_entries(basic)),
        *_points(FILES[1], matched_entries(depth)),
        *_routes(FILES[3], basic_entries(routes), records),
    ):
        yield (*head, *row)


def _records(file: str, entries: Iterable[tuple[Group, Entry]]) -> Iterator[tuple[Any, ...]]:
    for group, record in entries:
        for metric in METRICS:
            se = record["se"] and record["se"].get(metric)
            found = (metric, record[metric], se, *_counts(record), record["status"])
            yield (file, *_labels(group), None, None, *found)


def _points(file: str, entries: Iterable[tuple[Group, int, Entry]]) -> Iterator[tuple[Any, ...]]:
    for group, count, point in entries:
        for metric, value in point["mean"].items():
            se = point["se"] and point["se"][metric]
            status = "ok" if value is not None else "undefined"
            found = (metric, value, se, count, None, None, status)
            yield (file, *_labels(group), count, None, *found)


def _routes(
    file: str, entries: Iterable[tuple[Group, Entry]], records: Mapping[Group, Entry]
) -> Iterator[tuple[Any, ...]]:
    for group, routes in entries:
        for route in ROUTES:
            found = routes[route]
            for metric in ROUTE_METRICS:
                counts = _counts(records[group])
                rest = (metric, found[metric], None, *counts, found["status"])
                yield (file, *_labels(group), None, route, *rest)


def _labels(group: Group) -> tuple[Any, ...]:
    return group.kind, group.segment, group.category, group.bin


def _counts(record: Entry) -> tuple[Any, ...]:
    return record["num_rows"], record["num_steps"], record["num_traces"]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    # A spreadsheet runs a cell that begins like a formula; an apostrophe makes it text.
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
