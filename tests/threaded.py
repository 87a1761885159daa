"""Processes of a run as threads of one process: the same calls, without what it costs to start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray

from spectra.distributed import Processes
from spectra.errors import DisagreementError, PeerError
from spectra.strict_json import JSON

Result = TypeVar("Result")


class _Board:
    """Where all write what they say, round after round, until one has ended by an error."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rounds: dict[int, dict[int, Any]] = {}
        self._broken = False
        self._changed = threading.Condition()

    def exchange(self, number: int, rank: int, value: Any) -> list[Any]:
        """What all have said in this round, in the order of ranks."""
        with self._changed:
            said = self._rounds.setdefault(number, {})
            said[rank] = value
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._broken or len(said) == self._count, 60)
            if len(said) < self._count:
                raise PeerError("another thread ended")
            return [said[rank] for rank in range(self._count)]

    def end(self) -> None:
        """Have those that wait end."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()


class Threaded:
    """One of `count` processes."""

    def __init__(self, board: _Board, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self._board, self._round = board, 0

    def gather(self, what: str, value: JSON) -> list[JSON]:
        found: list[JSON] = []
        for name, other in self._exchange((what, value)):
            assert name == what
            found.append(other)
        return found

    def agree(self, what: str, value: JSON) -> None:
        if any(other != value for other in self.gather(what, value)):
            raise DisagreementError(what)

    def collect(self, data: bytes) -> list[bytes]:
        return self._exchange(data)

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError

    def union(self, values: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError

    def _exchange(self, value: Any) -> list[Any]:
        self._round += 1
        return self._board.exchange(self._round, self.rank, value)


def threaded(count: int, work: Callable[[Processes], Result]) -> list[Result | Exception]:
    """What the work gives in each of so many processes, or what it raises there."""
    board = _Board(count)

    def one(rank: int) -> Result | Exception:
        try:
            return work(Threaded(board, rank, count))
        except Exception as error:
            board.end()
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
