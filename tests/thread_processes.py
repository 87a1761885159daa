"""Threads that stand for processes: what the engine asks of others, without starting any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.distributed import Processes, Traffic
from spectra.errors import DisagreementError, PeerError
from spectra.strict_json import JSON

Result = TypeVar("Result")
PATIENCE = 60.0
"""Seconds that a thread waits for the others: one that makes another call waits for ever."""


class _Table:
    """Where all put what they say, round after round, until one has ended by an error."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._rounds: dict[int, dict[int, Any]] = {}
        self._taken = [0] * count
        self._broken = False
        self._changed = threading.Condition()

    def exchange(self, rank: int, what: str, value: Any) -> list[Any]:
        """What all have said in this round, in the order of ranks."""
        with self._changed:
            number, self._taken[rank] = self._taken[rank], self._taken[rank] + 1
            said = self._rounds.setdefault(number, {})
            said[rank] = what, value
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._broken or len(said) == self.count, PATIENCE)
            assert done, f"not all came to {what}"
            if len(said) < self.count:
                raise PeerError("another thread ended")
            self._rounds.pop(number - 1, None)
        assert {name for name, _ in said.values()} == {what}, said
        return [said[other][1] for other in range(self.count)]

    def end(self) -> None:
        """Have those that wait end."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()


class ThreadProcess:
    """One of several threads."""

    def __init__(self, rank: int, table: _Table) -> None:
        self.rank, self.count, self._table = rank, table.count, table
        self.sent, self.traffic = 0, Traffic()

    def gather(self, what: str, value: JSON) -> list[JSON]:
        return self._table.exchange(self.rank, what, value)

    def agree(self, what: str, value: JSON) -> None:
        said = self._table.exchange(self.rank, what, value)
        if any(one != said[0] for one in said):
            raise DisagreementError(f"{what}: {said}")

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


def each(count: int, work: Callable[[Processes], Result]) -> list[Result | Exception]:
    """What `work` gives in each of so many processes, or what it raises there."""
    table = _Table(count)

    def one(rank: int) -> Result | Exception:
        try:
            return work(ThreadProcess(rank, table))
        except Exception as error:
            table.end()
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def side_by_side(count: int, work: Callable[[Processes], Result]) -> list[Result]:
    """What `work` gives in each of so many processes; the first error of any, if there is one."""
    found = each(count, work)
    errors = [one for one in found if isinstance(one, Exception)]
    for error in sorted(errors, key=lambda one: isinstance(one, PeerError)):
        raise error
    return [one for one in found if not isinstance(one, Exception)]
