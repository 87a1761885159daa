"""config.json and index.json of a plan, as its artifact has them."""

from __future__ import annotations

from extract.store.plan import Plan
from extract.store.standing import RECORD_NAME
from spectra.artifacts.encode import config_document, index_document, with_extra
from spectra.artifacts.layout import NO_EXTRA
from spectra.strict_json import JSON, JSONObject


def artifact_documents(
    plan: Plan,
    record: JSONObject,
    *,
    model: str,
    primary: int | None = None,
    config_extra: JSONObject = NO_EXTRA,
    index_extra: JSONObject = NO_EXTRA,
) -> tuple[dict[str, JSON], dict[str, JSON]]:
    """Config and index.

    Args:
        plan: What is written, or would be.
        record: The extraction's.
        model: The model's name.
        primary: The layer that config.json's `shards` describe; the last one by default.
        config_extra: Further fields of config.json; those of the layout win over them.
        index_extra: Further fields of index.json, likewise.
    """
    entries = plan.entries
    known = config_document(
        model=model,
        primary=plan.layers[-1].index if primary is None else primary,
        layers={layer.index: layer.final_norm for layer in plan.layers},
        dim=plan.hidden_dim,
        dtype=plan.storage_dtype,
        samples=entries,
        cuts=list(plan.cuts),
    )
    config = with_extra({**known, RECORD_NAME: dict(record)}, config_extra)
    return config, with_extra(index_document(entries), index_extra)
