"""layer_profile.json: each group's metrics in every layer of a run, laid out from its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spectra.grouping import SEGMENTS, Group
from spectra.outputs.documents import Head
from spectra.record import Record
from spectra.statistics import METRICS

LAYERS_FILE = "layer_profile.json"

KINDS = {"segments": "segment", "categories": "category"}
"""The kinds of groups beside all rows, by their names in the file."""

FIELDS = (
    *METRICS,
    *("num_rows", "num_tokens", "num_steps", "num_traces", "rank_ceiling", "se", "num_blocks"),
    *("status", "reason", "method"),
)
"""Of a record, what a point has; the rest stands in basic_metrics.json."""

OF_A_LAYER = ("layer", "relative_depth", "final_norm")


def layer_profile(
    heads: Mapping[tuple[int, str], Head],
    records: Mapping[tuple[int, str], Mapping[Group, Record]],
    num_hidden_layers: int | None,
) -> dict[str, Any]:
    """The document of a run, from the heads and records of each layer and pool.

    Layers rise. `relative_depth` is a layer's number over `num_hidden_layers`, the model's number
    of blocks: 0 for the embeddings, 1 after the last block; None where that is not known.
    """
    places = {layer: head for (layer, _), head in sorted(heads.items(), key=lambda one: one[0][0])}
    about = {
        layer: (layer, layer / num_hidden_layers if num_hidden_layers else None, head.final_norm)
        for layer, head in places.items()
    }
    shared = next(iter(places.values())).asdict()
    for name in ("layer", "final_norm", "pool"):
        del shared[name]

    def points(pool: str, group: Group) -> list[dict[str, Any]]:
        return [
            {**dict(zip(OF_A_LAYER, one, strict=True)), **_fields(records[layer, pool][group])}
            for layer, one in about.items()
        ]

    # What is left out by norm or for not being finite differs from layer to layer.
    shared["left_out"] = [{"layer": layer, **head.left_out} for layer, head in places.items()]
    return {
        **shared,
        "num_hidden_layers": num_hidden_layers,
        "layers": [dict(zip(OF_A_LAYER, one, strict=True)) for one in about.values()],
        "pools": {
            pool: {
                "global": points(pool, Group("global")),
                "segments": {s: points(pool, Group("segment", s)) for s in SEGMENTS},
                "categories": {
                    group.category: points(pool, group)
                    for group in records[next(iter(about)), pool]
                    if group.kind == "category"
                },
            }
            for pool in dict.fromkeys(pool for _, pool in heads)
        },
    }


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS}
