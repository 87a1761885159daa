"""What makes the states of traces, as the spectral stage sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

BatchStates = Mapping[int, Sequence[NDArray[Any]]]
"""By layer, of each trace of a batch its rows [n, d] as shards would hold them."""


class States(Protocol):
    """A model that computes traces in batches; whenever it does so, rows are the same.

    Attributes:
        traces: the token rows [start, stop) of each trace.
        batches: the numbers of the traces of each batch; each trace with rows is in one.
    """

    @property
    def traces(self) -> Sequence[tuple[int, int]]:
        """Token rows, a trace."""
        ...

    @property
    def batches(self) -> Sequence[Sequence[int]]:
        """Traces, a batch."""
        ...

    def compute(self, batches: Sequence[int], layers: Sequence[int]) -> Iterator[BatchStates]:
        """The states of some batches, in turn; rows may be neither changed nor kept for long."""
        ...
