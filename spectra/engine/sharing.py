"""What solvers find, as arrays that processes send each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args

import numpy as np

from spectra.backend import Backend
from spectra.engine.dealing import Arrays, Deal, Key
from spectra.linalg import Axes, Fault, Method, Spectra
from spectra.uncertainty import Carried

Solved = tuple[Spectra, Carried | Axes | None]

_METHODS: tuple[Method, ...] = get_args(Method)
_FAULTS: tuple[Fault | None, ...] = (None, *get_args(Fault))
_ARRAYS = ("centered", "uncentered", "covariance")
_NUMBERS = ("energy", "mean_energy", "noise", "error", "tolerable")
assert {*_ARRAYS, *_NUMBERS, "rows", "dim", "method", "disagreement", "fault"} == {
    field.name for field in fields(Spectra)
}


def shared_results(
    deal: Deal, keys: Sequence[Key], own: Mapping[Key, Solved], backend: Backend
) -> dict[Key, Solved]:
    """The results of all keys, in their order; axes lie where the backend wants them."""
    if deal.processes.count == 1:
        return dict(own)
    sent = {key: _of_spectra(one) | _of_carried(carried) for key, (one, carried) in own.items()}
    found = deal.shared(keys, sent)
    return {
        key: own[key] if key in own else (_spectra(arrays), _carried(arrays, backend))
        for key, arrays in found.items()
    }


def shared_spectra(
    deal: Deal, keys: Sequence[Key], own: Mapping[Key, Spectra]
) -> dict[Key, Spectra]:
    """The spectra of all keys, in their order."""
    if deal.processes.count == 1:
        return dict(own)
    found = deal.shared(keys, {key: _of_spectra(one) for key, one in own.items()})
    return {key: _spectra(arrays) for key, arrays in found.items()}


def _of_spectra(one: Spectra) -> Arrays:
    whole = [one.rows, one.dim, _METHODS.index(one.method), _FAULTS.index(one.fault)]
    differs = np.nan if one.disagreement is None else one.disagreement
    numbers = [*(getattr(one, name) for name in _NUMBERS), differs]
    return {
        **{name: np.asarray(getattr(one, name), np.float64) for name in _ARRAYS},
        "whole": np.array(whole, np.int64),
        "numbers": np.array(numbers, np.float64),
    }


def _spectra(arrays: Arrays) -> Spectra:
    rows, dim, method, fault = arrays["whole"].tolist()
    *numbers, differs = arrays["numbers"].tolist()
    named: dict[str, Any] = dict(zip(_NUMBERS, numbers, strict=True))
    named |= {name: arrays[name] for name in _ARRAYS}
    return Spectra(
        rows=rows,
        dim=dim,
        method=_METHODS[method],
        fault=_FAULTS[fault],
        disagreement=None if np.isnan(differs) else differs,
        **named,
    )


def _of_carried(carried: Carried | Axes | None) -> Arrays:
    if carried is None:
        return {}
    named = carried._asdict()
    return {name: np.asarray(value) for name, value in named.items() if value is not None}


def _carried(arrays: Arrays, backend: Backend) -> Carried | Axes | None:
    if "by_trace" in arrays:
        return Carried(arrays["by_trace"], arrays.get("leverages"))
    if "vectors" in arrays:
        return backend.held(Axes(arrays["origin"], arrays["vectors"], arrays["weights"]))
    return None
