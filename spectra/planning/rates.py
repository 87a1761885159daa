"""What devices, disks and the network do in a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

from spectra.strict_json import JSONObject


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one device, or of one process where it says so.

    Products count 2 n d^2 operations for n rows, also where symmetry saves half of them.

    Attributes:
        multiply: operations a second, of the products that add moments up.
        weigh: the same, of the products by axes that weigh rows.
        reduce, reduce_constant: seconds of a reduction of order m are constant + reduce m^3.
        axes, axes_constant: the same of a decomposition with eigenvectors.
        disk: bytes that a process reads in a second.
        network: bytes that a process sends in a second.
        keys: random keys that a process draws in a second.
    """

    multiply: float
    weigh: float
    reduce: float
    axes: float
    disk: float
    network: float
    keys: float
    reduce_constant: float = 0.0
    axes_constant: float = 0.0

    @classmethod
    def of(cls, dim: int, chosen: Mapping[str, float]) -> Self:
        """With `reduce` and `axes` as seconds of one matrix of order dim, `multiply` for both."""
        return cls(**_fields(dim, chosen))

    def given(self, dim: int, chosen: Mapping[str, float]) -> Self:
        """With some of them given, as `of` takes them."""
        return replace(self, **_fields(dim, chosen))

    def reduction(self, order: int) -> float:
        """Seconds to reduce a matrix."""
        return self.reduce_constant + self.reduce * order**3

    def decomposition(self, order: int) -> float:
        """Seconds to find the axes of a group."""
        return self.axes_constant + self.axes * order**3

    def asdict(self) -> JSONObject:
        """By name."""
        return dict(asdict(self))


def _fields(dim: int, chosen: Mapping[str, float]) -> dict[str, float]:
    made = dict(chosen)
    for name in chosen.keys() & {"reduce", "axes"}:
        made |= {name: chosen[name] / dim**3, f"{name}_constant": 0.0}
    if "multiply" in chosen:
        made["weigh"] = chosen["multiply"]
    return made
