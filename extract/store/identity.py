"""Whose files these are: the record of an extraction, and how two of them differ.

The record stands in the journal's first line while the extraction runs and in config.json, as
`extraction`, once it is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from extract.store.plan import Plan
from spectra.strict_json import JSON, JSONObject, dumps, loads

_SHOWN = 80


def extraction_record(plan: Plan, fingerprint: Mapping[str, JSON]) -> dict[str, JSON]:
    """What must be equal for a run to go on with another's files.

    The totals follow from the plan's hash; they are there to say how two plans differ.
    """
    record = {
        "plan": {
            "sha256": plan.sha256,
            "saved_layers": [layer.index for layer in plan.layers],
            "final_norm": [layer.final_norm for layer in plan.layers],
            "hidden_dim": plan.hidden_dim,
            "storage_dtype": plan.storage_dtype,
            **asdict(plan.totals),
        },
        "fingerprint": dict(fingerprint),
    }
    # As it will be read back: a tuple is an array then.
    result = loads(dumps(record).encode(), where="the fingerprint")
    assert isinstance(result, dict)
    return result


def differences(old: JSONObject, new: JSONObject) -> list[str]:
    """One phrase for each field that differs, with both values; empty for equal records."""
    before, after = dict(leaves(old)), dict(leaves(new))
    return [
        f"{name[:_SHOWN]} was {_show(name, before)}, is {_show(name, after)}"
        for name in dict.fromkeys([*before, *after])
        if _show(name, before, None) != _show(name, after, None)
    ]


def leaves(value: JSON | JSONObject, name: str = "") -> Iterator[tuple[str, JSON]]:
    """The values that are no objects, by their dotted names; an empty object is one of them."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, {} if isinstance(value, Mapping) else value


def _show(name: str, fields: Mapping[str, JSON], limit: int | None = _SHOWN) -> str:
    if name not in fields:
        return "absent"
    text = dumps(fields[name], indent=None).strip()
    return text if limit is None or len(text) <= limit else text[:limit] + "…"
