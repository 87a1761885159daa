"""Threads that stand for processes: what the engine asks of others, without starting any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.distributed import Processes
from spectra.strict_json import JSON

Result = TypeVar("Result")
PATIENCE = 60.0
"""Seconds that a thread waits for the others: one that makes another call waits for ever."""


@dataclass
class _Table:
    """Where values of all lie until all have taken them."""

    count: int
    values: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.count, timeout=PATIENCE)

    def exchange(self, rank: int, what: str, value: Any) -> list[Any]:
        self.values[rank] = what, value
        self.barrier.wait()
        found = [self.values[other] for other in range(self.count)]
        self.barrier.wait()
        assert {name for name, _ in found} == {what}, found
        return [one for _, one in found]


class ThreadProcess:
    """One of several threads."""

    def __init__(self, rank: int, table: _Table) -> None:
        self.rank, self.count, self._table = rank, table.count, table
        self.sent = 0

    def gather(self, what: str, value: JSON) -> list[JSON]:
        return self._table.exchange(self.rank, what, value)

    def agree(self, what: str, value: JSON) -> None:
        said = self._table.exchange(self.rank, what, value)
        assert all(one == said[0] for one in said), said

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        assert values.dtype in (np.float64, np.int64)
        self.sent += values.nbytes
        found = self._table.exchange(self.rank, "total", values.copy())
        assert len({one.shape for one in found}) == 1
        return np.asarray(sum(found[1:], found[0]))

    def union(self, values: NDArray[Any]) -> NDArray[Any]:
        found = self._table.exchange(self.rank, "union", values.copy())
        flat = [np.ascontiguousarray(one).view(np.uint8) for one in found]
        assert np.count_nonzero(np.stack(flat), axis=0).max(initial=0) <= 1, "bytes of two"
        return np.asarray(sum(flat[1:], flat[0])).view(values.dtype).reshape(values.shape)

    def collect(self, data: bytes) -> list[bytes]:
        return self._table.exchange(self.rank, "bytes", data)


def side_by_side(count: int, work: Callable[[Processes], Result]) -> list[Result]:
    """What `work` gives in each of so many processes; the first error of any, if there is one."""
    table = _Table(count)

    def one(rank: int) -> Result:
        try:
            return work(ThreadProcess(rank, table))
        except BaseException:
            table.barrier.abort()
            raise

    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(one, rank) for rank in range(count)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    causes = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    for error in (*causes, *errors):
        raise error
    return [future.result() for future in futures]
