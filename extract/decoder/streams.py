"""Batches computed side by side, and given back in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

import jax

from extract.heap import kept_heap
from spectra.backend import usable_cores

Item = TypeVar("Item")
States = TypeVar("States")

_MOST = 8
"""Each stream has a batch's activations in memory."""

_AHEAD = 2
"""Batches that an accelerator is given at a time: the next is queued before one is done."""


def streams_on(devices: Sequence[jax.Device], copies: int = 1) -> int:
    """How many batches these devices, which hold one of `copies` of a model, compute side by side.

    XLA spreads one batch's operations over a CPU's cores badly: two batches on two cores were a
    fifth faster. Programs that run on several devices at once must not overtake each other.
    """
    alone = len(devices) == 1 and devices[0].platform == "cpu"
    return max(1, min(usable_cores(), _MOST) // copies) if alone else 1


def lanes(
    computes: Sequence[Callable[[Item], States]], streams: int
) -> list[Callable[[Item], States]]:
    """What `side_by_side` is to run, of each model's copy its `streams`.

    A copy of one stream is called by one thread at a time, and given a batch ahead. Neighbours in
    the list are of different copies, so the first batches go to all of them.
    """
    if streams > 1:
        return list(computes) * streams
    return [_one_at_a_time(compute) for compute in computes] * _AHEAD


def side_by_side(
    lanes: Sequence[Callable[[Item], States]], items: Iterable[Item]
) -> Iterator[tuple[Item, States]]:
    """Each item with its finished states, in turn; the next ones compute meanwhile, one in a lane.

    An item goes to the lane that has been free for longest. A lane may return before its device
    is done: it is free again when the device is.
    """
    free = SimpleQueue[Callable[[Item], States]]()
    for lane in lanes:
        free.put(lane)

    def finish(item: Item) -> States:
        lane = free.get()
        try:
            states: States = jax.block_until_ready(lane(item))
            return states
        finally:
            free.put(lane)

    pool = ThreadPoolExecutor(len(lanes))
    waiting: deque[tuple[Item, Future[States]]] = deque()

    def first() -> tuple[Item, States]:
        item, states = waiting.popleft()
        return item, states.result()

    try:
        with kept_heap() if len(lanes) > 1 else nullcontext():
            for item in items:
                waiting.append((item, pool.submit(finish, item)))
                if len(waiting) > len(lanes):
                    yield first()
            while waiting:
                yield first()
    finally:
        pool.shutdown(cancel_futures=True)


def _one_at_a_time(compute: Callable[[Item], States]) -> Callable[[Item], States]:
    """Two calls at once would mix up the order in which their programs reach several devices."""
    lock = Lock()

    def locked(item: Item) -> States:
        with lock:
            return compute(item)

    return locked
