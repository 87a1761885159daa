"""A comparison as files: one JSON document, and one tidy table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spectra.compare.comparison import Compared, Comparison, Pair, Prospect
from spectra.compare.differences import Difference
from spectra.outputs import basic_labels, csv_table, jackknife_head
from spectra.provenance import input_identity, versions

FORMAT_VERSION = 1
JSON_FILE, TABLE_FILE = "comparison.json", "comparison.csv"
P_VALUES = (
    "two-sided, Student's t with blocks - 1 degrees of freedom, of difference / sqrt(se^2 + "
    "sd^2 / repeats); p_holm: Holm's adjustment over the groups of a kind, a pair and metric at a "
    "time"
)
COLUMNS = (
    *("source_a", "source_b", "group_kind", "segment", "category", "count"),
    *("rows_a", "rows_b", "blocks", "metric", *Difference.__slots__),
)


def document(found: Comparison) -> dict[str, Any]:
    """All of it."""
    config = found.config
    return {
        "format_version": FORMAT_VERSION,
        **_head(found.prospect),
        "convention": config.chosen.asdict(),
        "categories": found.prospect.names.asdict(),
        "draws": {"repeats": config.repeats, "seed": config.seed, "unit": config.sampling},
        "standard_errors": jackknife_head(found.blocks),
        "p_values": P_VALUES,
        "versions": versions(),
        "warnings": list(found.prospect.warnings),
        "pairs": [_pair(pair) for pair in found.pairs],
    }


def dry_document(found: Prospect) -> dict[str, Any]:
    """What would be compared."""
    counts = [{**basic_labels(group), "count": count} for group, count in found.counts.items()]
    return {"dry_run": True, **_head(found), "groups": counts, "warnings": list(found.warnings)}


def _head(found: Prospect) -> dict[str, Any]:
    return {
        "sources": [{**one.asdict(), **input_identity(one.artifact)} for one in found.sources],
        "shared_traces": len(found.sources[0].samples),
        "metrics": list(found.metrics),
        "left_out": [
            {**basic_labels(group), "num_rows": list(rows)}
            for group, rows in found.left_out().items()
        ],
    }


def table(found: Comparison) -> bytes:
    """A difference a line, under `COLUMNS`."""
    return csv_table(COLUMNS, _rows(found))


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "groups": [_group(one) for one in pair.groups],
    }


def _group(one: Compared) -> dict[str, Any]:
    return {
        **basic_labels(one.group),
        "num_rows": list(one.rows),
        "count": one.count,
        "num_blocks": one.blocks,
        "differences": {metric: each.asdict() for metric, each in one.differences.items()},
    }


def _rows(found: Comparison) -> Iterator[tuple[Any, ...]]:
    names = [
        f"{one.source.path}@{one.layer.index}:{one.source.pool}" for one in found.prospect.sources
    ]
    for pair in found.pairs:
        for one in pair.groups:
            head = (names[pair.a], names[pair.b], *basic_labels(one.group).values())
            for metric, each in one.differences.items():
                yield (*head, one.count, *one.rows, one.blocks, metric, *each.asdict().values())
