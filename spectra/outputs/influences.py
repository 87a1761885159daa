"""trace_influences.csv: what each trace adds to each metric of a group, to first order.

That is d metric / d weight of the trace at equal weights: leaving the trace out would lower the
metric by about as much. The influences of a group's traces sum to 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spectra.artifacts import Sample
from spectra.engine import CountTable, PoolResult
from spectra.outputs.groups import PoolRecords
from spectra.statistics import METRICS

INFLUENCE_COLUMNS = (
    *("model", "layer", "pool", "group_kind", "segment", "category", "sample_id", "problem_id"),
    *("num_rows", *METRICS),
)


def influence_rows(
    model: str, layer: int, result: PoolResult, records: PoolRecords, samples: Sequence[Sample]
) -> Iterator[tuple[Any, ...]]:
    """The table's rows of one pool: a trace a line for each group of basic_metrics.json."""
    rows, table = result.plan.rows, CountTable(result.plan.rows)
    for group in rows.atoms.basic_groups():
        record, carried = records.records[group], result.carried.get(group)
        if carried is None or record.se is None:
            continue
        counts = table.rows_by_trace(group)
        head = (model, layer, rows.pool, group.kind, group.segment, group.category)
        for trace in np.flatnonzero(counts).tolist():
            influences = carried.by_trace[trace].tolist()
            known = (
                value if getattr(record, name) is not None else None
                for name, value in zip(METRICS, influences, strict=True)
            )
            one = samples[trace]
            yield (*head, one.sample_id, one.problem_id, int(counts[trace]), *known)
