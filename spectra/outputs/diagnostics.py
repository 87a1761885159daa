"""What a record should be read with: how its alpha depends on the fit, and what its energy is of.

A power law that holds has one exponent whatever the range; a rank that one row, dimension or the
mean decides says little of the others; and variance that is rounding is none of the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spectra.engine import Energy
from spectra.grouping import Ints
from spectra.linalg import F64
from spectra.record import Record, value_or_none
from spectra.statistics import METRICS, PRESETS, alpha_req

RANGES = tuple(
    sorted({preset.alpha_ranks for preset in PRESETS.values() if preset.alpha_ranks is not None})
)
"""Every range of ranks that a preset fits alpha on."""

MANTISSA = {"bfloat16": 7, "float16": 10, "float32": 23, "float64": 52}
"""Bits behind the point, by the types that states are stored in."""

INFLUENTIAL = 5
"""Traces named as those that carry most of a group's rank."""

ROUNDED = 0.1
"""Share of a dimension's variance that rounding to the stored type may be before it is counted."""


def diagnostics(
    eigenvalues: F64,
    energy: Energy | None,
    mean_energy_share: float | None,
    rows_by_trace: Ints,
    columns: Ints,
    stored: np.dtype[Any] | None,
    locate: Callable[[int], str],
    influences: list[dict[str, Any]] | None,
) -> dict[str, Any]:
    """Of one group.

    Args:
        eigenvalues: [K] descending, those that count.
        energy: the sums over its rows as they are; None where they are not all finite.
        mean_energy_share: n |mean|^2 / |X|_F^2.
        rows_by_trace: its rows in each trace.
        columns: [d] numbers of its dimensions.
        stored: what its rows were rounded to; None where they are means.
        locate: names a row of the pool, by number, for people.
        influences: of the traces that carry most (see `strongest`); None without standard errors,
            and of depth bins.
    """
    return {
        "alpha_by_range": {f"{a}-{b}": _fit(eigenvalues, a, b) for a, b in RANGES},
        "local_slopes": local_slopes(eigenvalues),
        "mean_energy_share": mean_energy_share,
        "top_dimension": None if energy is None else _top_dimension(energy, columns),
        "top_row": None if energy is None else _top_row(energy, locate),
        "effective_traces": effective_number(rows_by_trace),
        "influential_traces": influences,
        "quantisation": None if energy is None or stored is None else rounding(energy, stored),
    }


def strongest(by_trace: F64, rows: Ints, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """The traces that carry most of `rankme`, to first order, the first the strongest.

    Of those that carry the same but for rounding, as two traces alone do, the first comes first.

    Args:
        by_trace: [T, METRICS] d metric / d weight of the trace, at equal weights.
        rows: [T] the group's rows of each trace.
        names: ids of the traces that have rows.
    """
    carried = np.abs(by_trace[:, METRICS.index("rankme")])
    carried = np.round(carried / (carried.max(initial=0.0) or 1.0), 9)
    order = sorted(names, key=lambda trace: (-carried[trace], trace))[:INFLUENTIAL]
    shown = {name: METRICS.index(name) for name in ("rankme", "rankme_sigma", "alpha_req")}
    return [
        {
            "sample_id": names[trace],
            "num_rows": int(rows[trace]),
            **{name: value_or_none(by_trace[trace, place]) for name, place in shown.items()},
        }
        for trace in order
    ]


def local_slopes(eigenvalues: F64) -> list[dict[str, Any]]:
    """Alpha over ranks k to 2k for k = 1, 2, 4, ..., as far as there are eigenvalues."""
    usable, slopes, k = int((eigenvalues > 0).sum()), [], 1
    while 2 * k <= usable:
        slopes.append({"ranks": [k, 2 * k], "alpha": _fit(eigenvalues, k, 2 * k)["alpha"]})
        k *= 2
    return slopes


def effective_number(sizes: Ints) -> float | None:
    """(sum n)^2 / sum n^2: how many traces of equal size would weigh as these do (Kish 1965)."""
    total = float(sizes.sum())
    return total**2 / float((sizes.astype(np.float64) ** 2).sum()) if total else None


def rounding(energy: Energy, stored: np.dtype[Any]) -> dict[str, Any]:
    """What rounding to the stored type adds to the variances, as if errors were uniform.

    An entry of size x is off by up to half its unit in the last place, ulp(x), with the variance
    ulp^2 / 12; each dimension counts with the ulp at its root mean square.
    """
    mean = energy.total / energy.rows
    square = energy.squares / energy.rows
    variance = np.maximum(square - mean**2, 0.0)
    digits = MANTISSA[stored.name]
    exponent = np.floor(np.log2(np.sqrt(np.where(square > 0, square, 1.0))))
    noise = np.where(square > 0, np.ldexp(1.0, (exponent - digits).astype(int)) ** 2 / 12, 0.0)
    whole = float(variance.sum())
    return {
        "variance_share": float(noise.sum()) / whole if whole > 0 else None,
        "dimensions": int((noise > ROUNDED * variance).sum()),
        "of": len(variance),
    }


def _fit(eigenvalues: F64, first: int, last: int) -> dict[str, float | None]:
    alpha, r2 = alpha_req(eigenvalues, first, last)
    return {"alpha": value_or_none(alpha), "r2": value_or_none(r2)}


def _top_dimension(energy: Energy, columns: Ints) -> dict[str, Any]:
    top, whole = int(energy.squares.argmax()), float(energy.squares.sum())
    share = float(energy.squares[top]) / whole if whole > 0 else None
    return {"dimension": int(columns[top]), "energy_share": share}


def _top_row(energy: Energy, locate: Callable[[int], str]) -> dict[str, Any]:
    whole = float(energy.squares.sum())
    share = energy.largest / whole if whole > 0 else None
    return {"at": locate(energy.number), "energy_share": share}


def rounding_warnings(
    layer: int, pool: str, record: Record, stored: np.dtype[Any] | None
) -> list[str]:
    """A sentence where rounding is a large share of a dimension's variance over all rows."""
    found = record.diagnostics and record.diagnostics["quantisation"]
    if pool != "all" or stored is None or not found or not found["dimensions"]:
        return []
    return [
        f"layer {layer}, pool {pool}: in {found['dimensions']} of {found['of']} dimensions a tenth "
        f"of the variance or more is that of rounding to {stored.name}; their part in the spectrum "
        "is not the model's."
    ]
