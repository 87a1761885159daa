"""What the layers of one model give, until it is written: files, records, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spectra import strict_json
from spectra.artifacts import Layer
from spectra.backend import Mode
from spectra.engine import LayerResult, PoolResult, RunConfig
from spectra.grouping import Group
from spectra.left_out import LeftOut
from spectra.linalg import Fault
from spectra.outputs import (
    COLUMNS,
    INFLUENCE_COLUMNS,
    INFLUENCES_FILE,
    LAYERS_FILE,
    TABLE_FILE,
    Head,
    PoolRecords,
    SweepOptions,
    csv_lines,
    documents,
    influence_rows,
    jackknife_head,
    layer_profile,
    pool_rows,
)
from spectra.preparation import Prepared
from spectra.record import Record


@dataclass(slots=True)
class Gathered:
    """What the layers of one model give, until it is written."""

    warnings: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    table: list[bytes] = field(default_factory=lambda: [csv_lines([COLUMNS])])
    influences: list[bytes] = field(default_factory=lambda: [csv_lines([INFLUENCE_COLUMNS])])
    errors: list[float] = field(default_factory=list)
    repairs: Counter[Fault] = field(default_factory=Counter)
    exhausted: dict[str, list[int]] = field(default_factory=dict)
    heads: dict[tuple[int, str], Head] = field(default_factory=dict)
    records: dict[tuple[int, str], dict[Group, Record]] = field(default_factory=dict)
    matched: dict[tuple[int, str], dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add_faults(self, layer: int, found: LayerResult) -> None:
        """Keep what went wrong on the way and was mended."""
        self.repairs += found.repairs
        if found.exhausted:
            self.exhausted[str(layer)] = found.exhausted
        self.warnings += fault_warnings(layer, found)

    def every_record(self) -> list[Record]:
        """The records of all layers, pools and groups."""
        return [record for records in self.records.values() for record in records.values()]


def add_pool(
    gathered: Gathered,
    prepared: Prepared,
    layer: Layer,
    left_out: LeftOut,
    result: PoolResult,
    made: PoolRecords,
    config: RunConfig,
    mode: Mode,
) -> None:
    """Keep a pool's records and make its files and rows of tables."""
    pool, model = result.plan.rows.pool, prepared.artifact.config.model
    gathered.records[layer.index, pool] = made.records
    gathered.matched[layer.index, pool] = made.matched
    head = _head(prepared, layer, left_out, result, config, mode)
    gathered.heads[layer.index, pool] = head
    sweep = SweepOptions(result.plan.counts, config.repeats, config.seed, pool, config.sampling)
    contents = documents(head, result.plan.rows.atoms, made, sweep, config.depth)
    gathered.table.append(csv_lines(pool_rows(contents)))
    if config.influences:
        samples = prepared.artifact.index.samples
        rows = influence_rows(model, layer.index, result, made, samples)
        gathered.influences.append(csv_lines(rows))
    gathered.errors += result.checked.values()
    primary = layer.index == prepared.artifact.config.layer
    folder = f"pool_{pool}" if primary else f"layer_{layer.index}/pool_{pool}"
    for name, content in contents.items():
        gathered.files[f"{folder}/{name}"] = strict_json.dumps(content).encode()


def add_whole_files(gathered: Gathered, prepared: Prepared, config: RunConfig) -> None:
    """What a run has once, beside the files of its layers and pools."""
    if len(prepared.layers) > 1:
        blocks = prepared.artifact.config.num_hidden_layers
        profile = layer_profile(gathered.heads, gathered.records, blocks)
        gathered.files[LAYERS_FILE] = strict_json.dumps(profile).encode()
    gathered.files[TABLE_FILE] = b"".join(gathered.table)
    if config.influences:
        gathered.files[INFLUENCES_FILE] = b"".join(gathered.influences)


def _head(
    prepared: Prepared,
    layer: Layer,
    left_out: LeftOut,
    result: PoolResult,
    config: RunConfig,
    mode: Mode,
) -> Head:
    """What the pool's four files share."""
    return Head(
        prepared.artifact.config.model,
        layer.index,
        layer.final_norm,
        result.plan.rows.pool,
        result.plan.dim,
        config.chosen.asdict(),
        mode,
        prepared.names.asdict(),
        left_out.asdict(config),
        jackknife_head(prepared.blocks, exact=config.jackknife == "exact")
        if config.weighs
        else None,
    )


def fault_warnings(layer: int, found: LayerResult) -> list[str]:
    """Sentences on what a layer's solvers and its device's memory made necessary."""
    failed = {fault: count for fault, count in found.repairs.items() if fault != "rounding"}
    said = []
    if failed:
        what = ", ".join(f"{fault}: {count}" for fault, count in sorted(failed.items()))
        said.append(
            f"layer {layer}: {sum(failed.values())} spectra came wrong from the solver ({what}) "
            "and were computed again from their rows on the host."
        )
    if found.exhausted:
        sizes = ", ".join(f"{size / 1e6:,.0f} MB" for size in found.exhausted)
        said.append(
            f"layer {layer}: the device's memory ran out with {sizes} planned for moments; the "
            "layer was computed again with less."
        )
    return said


def nonfinite_warnings(
    layer: Layer, left: LeftOut, results: Sequence[PoolResult], locate: Callable[[int], str]
) -> list[str]:
    """A sentence on the rows of a layer that are not finite, where there are any."""
    behind = (result.bad_behind for result in results)
    found = np.unique(np.concatenate([left.nonfinite, *behind]))
    if len(found) == 0:
        return []
    what = "were left out" if len(left.nonfinite) else "leave their groups undefined"
    return [
        f"layer {layer.index}: {len(found)} token rows hold NaN or infinity and {what}, the "
        f"first at {locate(int(found[0]))}."
    ]
