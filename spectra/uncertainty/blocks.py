"""Blocks of traces: what is left out together, for its rows depend on one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from spectra.grouping import Ints
from spectra.linalg import F64


class TraceLike(Protocol):
    """What blocks are made of (`spectra.artifacts.Sample`)."""

    @property
    def problem_id(self) -> str | None:
        """The problem that the trace works on, if known."""
        ...


@dataclass(frozen=True, slots=True)
class Blocks:
    """Which block each trace belongs to.

    Attributes:
        unit: "problem" where traces name their problems (one without a name is a block of its
            own), else "trace".
        of_trace: [T] the block's number.
    """

    unit: Literal["problem", "trace"]
    of_trace: Ints

    @classmethod
    def of(cls, traces: Sequence[TraceLike]) -> Blocks:
        """The blocks of an index's traces, numbered as they first occur."""
        numbers: dict[str | int, int] = {}
        found = [
            numbers.setdefault(i if trace.problem_id is None else trace.problem_id, len(numbers))
            for i, trace in enumerate(traces)
        ]
        named = any(trace.problem_id is not None for trace in traces)
        return cls("problem" if named else "trace", np.array(found, np.int64))

    def __len__(self) -> int:
        """Number of blocks."""
        return int(self.of_trace.max(initial=-1)) + 1

    def holding(self, traces: Ints) -> Ints:
        """Numbers of the blocks that hold any of these traces, in order."""
        return np.unique(self.of_trace[traces])

    def sums(self, by_trace: F64) -> F64:
        """[B, ...] sums over the traces of each block; values [T, ...] of the first T traces."""
        sums = np.zeros((len(self), *by_trace.shape[1:]))
        np.add.at(sums, self.of_trace[: len(by_trace)], by_trace)
        return sums
