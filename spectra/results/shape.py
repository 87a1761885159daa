"""The shape of run.json and of the metric files: every field that is read back.

run.json tells of a file that was changed; whoever changes both may write anything. So types are
compared exactly, and numbers bounded so that no sum or square of them overflows. Fields that are
not listed may be there and may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from spectra.errors import ResultsFormatError
from spectra.json_fields import MAX_INTEGER, show
from spectra.outputs import FILES
from spectra.outputs.groups import ROUTES
from spectra.outputs.layers import OF_A_LAYER
from spectra.outputs.walk import profile_entries
from spectra.statistics import METRICS

LARGEST = 1e150
"""Of any number; a variance of float32 states stays below 1e90."""

Place: TypeAlias = tuple[str | int, ...]
Check: TypeAlias = Callable[[Any, Place], None]


def check_run(file: Path, run: Any) -> None:
    """Raise `ResultsFormatError` unless run.json, read from `file`, has its shape."""
    _checked(file, _RUN, run)


def check_documents(folder: Path, documents: Mapping[str, Any]) -> None:
    """Raise `ResultsFormatError` unless a pool's four documents have theirs and belong together."""
    for name in FILES:
        _checked(folder / name, _SHAPES[name], documents[name])
    first = documents[FILES[0]]
    for name in FILES[1:]:
        for field in ("model", "layer", "pool"):
            if documents[name][field] != first[field]:
                raise _format_error(
                    folder / name,
                    f"{field} is {show(documents[name][field])}, and {show(first[field])} in "
                    f"{FILES[0]}; expected one {field} for the four files",
                )


def check_profile(file: Path, document: Any, of: Collection[tuple[int, str]]) -> None:
    """Raise `ResultsFormatError` unless layer_profile.json has its shape.

    `of` are the layers and pools that the run's other files are of.
    """
    _checked(file, _PROFILE, document)
    layers = _places(document["layers"])
    numbers = [layer for layer, *_ in layers]
    told = {(layer, pool) for layer in numbers for pool in document["pools"]}
    if told != set(of) or numbers != sorted(set(numbers)):
        raise _format_error(
            file, "layers or pools are not those of the other files, each layer once and rising"
        )
    for pool, parts in document["pools"].items():
        for group, points in profile_entries(parts):
            if _places(points) != layers:
                raise _format_error(
                    file, f"pool {show(pool)}, {group!a}: the points are not of the file's layers"
                )


def _places(entries: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Which layers, and what is told of them."""
    return [tuple(one[name] for name in OF_A_LAYER) for one in entries]


def _checked(file: Path, check: Check, value: Any) -> None:
    try:
        check(value, ())
    except _Unfit as fault:
        raise _format_error(file, str(fault)) from None


def _format_error(file: Path, fault: str) -> ResultsFormatError:
    return ResultsFormatError(
        f"{file}: {fault}. It was changed after its run, or another version wrote it: run it again."
    )


class _Unfit(Exception):
    """A value is not what its place expects."""


def _refuse(value: Any, place: Place, expected: str) -> NoReturn:
    raise _Unfit(f"{_named(place)} is {show(value)}; expected {expected}")


def _named(place: Place) -> str:
    text = "".join(
        f".{part}" if isinstance(part, str) and part.isidentifier() and part.isascii()
        else f"[{show(part)}]"
        for part in place
    )  # fmt: skip
    return text.removeprefix(".") or "the document"


# ---- what a value can be ----------------------------------------------------------------------


def _whole(low: int = 0) -> Check:
    def check(value: Any, place: Place) -> None:
        if type(value) is not int or not low <= value <= MAX_INTEGER:
            _refuse(value, place, f"an integer from {low} to {MAX_INTEGER}")

    return check


def _real(value: Any, place: Place) -> None:
    if type(value) is not float or not -LARGEST <= value <= LARGEST:
        _refuse(value, place, f"a number with a decimal point, of at most {LARGEST:g}")


def _text(value: Any, place: Place) -> None:
    if type(value) is not str:
        _refuse(value, place, "a string")


def _truth(value: Any, place: Place) -> None:
    if type(value) is not bool:
        _refuse(value, place, "true or false")


def _or_null(inner: Check) -> Check:
    def check(value: Any, place: Place) -> None:
        if value is not None:
            inner(value, place)

    return check


def _list_of(inner: Check, length: int | None = None) -> Check:
    def check(value: Any, place: Place) -> None:
        if type(value) is not list or (length is not None and len(value) != length):
            of = "" if length is None else f" of {length}"
            _refuse(value, place, f"an array{of}")
        for number, item in enumerate(value):
            inner(item, (*place, number))

    return check


def _map_of(inner: Check) -> Check:
    """An object with any keys."""

    def check(value: Any, place: Place) -> None:
        if type(value) is not dict:
            _refuse(value, place, "an object")
        for key, item in value.items():
            inner(item, (*place, key))

    return check


def _record(fields: Mapping[str, Check], absent: Mapping[str, Check] | None = None) -> Check:
    """An object with these fields, and with the others or not."""

    def check(value: Any, place: Place) -> None:
        if type(value) is not dict:
            _refuse(value, place, "an object")
        for key, inner in fields.items():
            if key not in value:
                raise _Unfit(f"{_named((*place, key))} is not there")
            inner(value[key], (*place, key))
        for key, inner in (absent or {}).items():
            if key in value:
                inner(value[key], (*place, key))

    return check


# ---- run.json ---------------------------------------------------------------------------------

_RUN = _record(
    {"outputs": _map_of(_text), "warnings": _list_of(_text), "layers": _list_of(_whole())}
)

# ---- the four files ---------------------------------------------------------------------------

_COUNT = _or_null(_whole())
_NUMBER = _or_null(_real)
_ERRORS = _or_null(_map_of(_NUMBER))

_RANKS = _or_null(_list_of(_whole(1), 2))
_CONVENTION = _record(
    {"name": _text, "source": _text, "centered": _truth, "kept": _or_null(_whole(1)),
     "alpha_ranks": _RANKS}
)  # fmt: skip
_LEFT_OUT = _record(
    {
        "first_tokens": _record({"of_each_trace": _whole(), "tokens": _whole()}),
        "large_norms": _record({"tokens": _whole()}),
        "nonfinite_tokens": _whole(),
        "dimensions": _list_of(_whole()),
    }
)
_HEAD: Mapping[str, Check] = {
    "model": _text,
    "layer": _whole(),
    "pool": _text,
    "dim": _whole(1),
    "final_norm": _or_null(_truth),
    "convention": _CONVENTION,
    "left_out": _LEFT_OUT,
    "standard_errors": _or_null(
        _record({"blocks": _whole(), "unit": _text, "method": _text})
    ),
}  # fmt: skip

_TRACES = _or_null(
    _list_of(_record({"sample_id": _text, "num_rows": _whole(), "rankme": _NUMBER}))
)  # fmt: skip
_MEASURED: Mapping[str, Check] = {
    **dict.fromkeys(METRICS, _NUMBER),
    "num_rows": _whole(),
    "num_tokens": _COUNT,
    "num_steps": _COUNT,
    "num_traces": _COUNT,
    "rank_ceiling": _whole(),
    "se": _ERRORS,
    "status": _text,
    "reason": _or_null(_text),
    "method": _or_null(_text),
}
_GROUP = _record(
    _MEASURED,
    {
        "num_blocks": _COUNT,
        "diagnostics": _or_null(_record({}, {"influential_traces": _TRACES})),
    },
)
_DRAWN = _record(
    {
        "mean": _record(dict.fromkeys(("rankme", "rankme_sigma", "alpha_req"), _NUMBER)),
        "sd": _record(dict.fromkeys(("rankme", "rankme_sigma", "alpha_req"), _NUMBER)),
        "se": _ERRORS,
        "num_blocks": _COUNT,
    }
)


def _point(value: Any, place: Place) -> None:
    """Metrics of draws: beside the three above any others, all of one kind."""
    _DRAWN(value, place)
    for part in ("mean", "sd"):
        _map_of(_NUMBER)(value[part], (*place, part))
    if value["se"] is not None and not value["se"].keys() >= value["mean"].keys():
        raise _Unfit(f"{_named((*place, 'se'))} lacks a metric that mean has")


def _counted(value: Any, place: Place) -> None:
    _record({"count": _whole(1)})(value, place)
    _point(value, place)


def _labelled(value: Any, place: Place) -> None:
    labels = {"segment": _or_null(_text), "category": _or_null(_text), "bin": _COUNT}
    _record(labels)(value, place)
    _point(value, place)


_MATCHED = _map_of(_record({"count": _COUNT, "groups": _list_of(_labelled)}))

_ROUTE = _record(
    {
        "values": _list_of(_real),
        "effective_rank": _NUMBER,
        "alpha_req": _NUMBER,
        "alpha_req_r2": _NUMBER,
        "status": _text,
    }
)
_OF_ROUTES = _record(
    {
        **dict.fromkeys(ROUTES, _ROUTE),
        "num_rows": _whole(),
        "total_variance": _NUMBER,
        "mean_energy_share": _NUMBER,
    }
)


def _routes(value: Any, place: Place) -> None:
    _OF_ROUTES(value, place)
    total, route = value["total_variance"], ROUTES[0]
    for number, one in enumerate(value[route]["values"]):
        # Twice: rounding is no fault.
        if total is not None and one > 2 * total:
            _refuse(one, (*place, route, "values", number), f"at most total_variance, {total:g}")


def _basic(of: Check) -> Mapping[str, Check]:
    """The groups of basic_metrics.json, each with what `of` checks."""
    groups = _map_of(of)
    return {
        "global": of,
        "segments": groups,
        "categories": groups,
        "segment_categories": _map_of(groups),
    }


def _depth(value: Any, place: Place) -> None:
    _record({"num_bins": _whole(1)})(value, place)
    bins = _list_of(_GROUP, value["num_bins"])
    profiles = _map_of(_record({"bins": bins}))
    parts = {"edges": _list_of(_real, value["num_bins"] + 1), "bins": bins}
    _record({**_HEAD, **parts, "segments": profiles, "categories": profiles}, _COMPARED)(
        value, place
    )


_COMPARED = {"matched": _MATCHED}
_CURVES = {"repeats": _whole(1), "curves": _map_of(_list_of(_counted))}
_SHAPES: Mapping[str, Check] = dict(
    zip(
        FILES,
        (
            _record({**_HEAD, **_basic(_GROUP)}, _COMPARED),
            _depth,
            _record({**_HEAD, **_CURVES}),
            _record({**_HEAD, **_basic(_routes)}),
        ),
        strict=True,
    )
)

# ---- layer_profile.json -----------------------------------------------------------------------

_LAYER = {"layer": _whole(), "relative_depth": _NUMBER, "final_norm": _or_null(_truth)}
_POINTS = _list_of(_record({**_LAYER, **_MEASURED, "num_blocks": _COUNT}))
_PROFILE = _record(
    {
        **{name: check for name, check in _HEAD.items() if name not in ("pool", *OF_A_LAYER)},
        "left_out": _list_of(_LEFT_OUT),
        "num_hidden_layers": _or_null(_whole(1)),
        "layers": _list_of(_record(_LAYER)),
        "pools": _map_of(
            _record(
                {"global": _POINTS, "segments": _map_of(_POINTS), "categories": _map_of(_POINTS)}
            )
        ),
    }
)
