"""Which process of a run solves what, and how all of them get the results."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from spectra.distributed import ALONE, Processes

Key = TypeVar("Key", bound=Hashable)
Arrays = dict[str, NDArray[Any]]


class Loads:
    """What each of some processes has to do."""

    def __init__(self, count: int) -> None:
        """Nothing yet."""
        self.costs = [0.0] * count

    def place(self, cost: float) -> int:
        """The process that the next task goes to: the one with the least to do."""
        least = self.costs.index(min(self.costs))
        self.costs[least] += cost
        return least


class Deal:
    """Deals tasks out; all processes ask alike, so that none need be told."""

    def __init__(self, processes: Processes = ALONE) -> None:
        """Among these, none of which has anything to do yet."""
        self.processes = processes
        self._loads = Loads(processes.count)

    def mine(self, cost: float) -> bool:
        """Whether the next task is this process's."""
        return self._loads.place(cost) == self.processes.rank

    def shared(self, keys: Sequence[Key], own: Mapping[Key, Arrays]) -> dict[Key, Arrays]:
        """What all processes found of these keys, in their order; each key is of one of them."""
        if self.processes.count == 1:
            return dict(own)
        self.processes.gather("results", len(keys))
        place = {key: number for number, key in enumerate(keys)}
        sent = save(
            {
                f"{place[key]}/{name}": np.ascontiguousarray(array)
                for key, arrays in own.items()
                for name, array in arrays.items()
            }
        )
        found: dict[Key, Arrays] = {key: {} for key in keys}
        for data in self.processes.collect(sent):
            for name, array in load(data).items():
                number, _, rest = name.partition("/")
                found[keys[int(number)]][rest] = array
        return found

    def summed(self, arrays: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """The sums over processes of some arrays, which have the same shapes everywhere."""
        if self.processes.count == 1 or not arrays:
            return list(arrays)
        self.processes.gather("sums", len(arrays))
        whole = self.processes.total(np.concatenate([array.ravel() for array in arrays]))
        parts = np.split(whole, np.cumsum([array.size for array in arrays])[:-1])
        return [part.reshape(one.shape) for part, one in zip(parts, arrays, strict=True)]


def cost_of(rows: int, dim: int) -> float:
    """About the operations that solving a set of rows of width dim takes."""
    order = min(rows, dim)
    return float(order**3 + order**2 * dim)
