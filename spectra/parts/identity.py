"""What must be equal in all parts of a run and in the run that merges them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from spectra.backend import Backend
from spectra.engine import RunConfig
from spectra.linalg import F64
from spectra.preparation import Prepared
from spectra.provenance import input_identity, versions

_FREE = ("max_memory", "devices", "backend", "precision")
"""Options that may differ: the last two say what to choose, and what was chosen is compared."""


def fingerprint(
    prepared: Prepared, config: RunConfig, backend: Backend, shifts: Mapping[int, F64]
) -> dict[str, Any]:
    """As plain JSON values; `shifts` by layer."""
    return {
        "format_version": 1,
        "input": input_identity(prepared.artifact),
        "layers": [layer.index for layer in prepared.layers],
        "options": settled(config),
        "convention": _plain(config.chosen.asdict()),
        "categories": prepared.names.asdict(),
        "backend": {"name": backend.name, "mode": backend.mode},
        "versions": versions(),
        "shift": {
            str(layer): hashlib.sha256(shift.astype("<f8").tobytes()).hexdigest()
            for layer, shift in shifts.items()
        },
    }


def settled(config: RunConfig) -> dict[str, Any]:
    """The options that must be equal in all parts, as plain JSON values."""
    return {name: _plain(value) for name, value in config.asdict().items() if name not in _FREE}


def _plain(value: Any) -> Any:
    """With lists for tuples, as JSON gives them back."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
