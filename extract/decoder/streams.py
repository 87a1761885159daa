"""Batches computed side by side, and given back in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import jax

from extract.heap import kept_heap
from spectra.backend import usable_cores

Item = TypeVar("Item")
States = TypeVar("States")

_MOST = 8
"""Each stream has a batch's activations in memory."""


def streams_on(devices: Sequence[jax.Device]) -> int:
    """How many batches these devices compute side by side.

    XLA spreads one batch's operations over a CPU's cores badly: two batches on two cores were a
    fifth faster. Programs that run on several devices at once must not overtake each other.
    """
    alone = len(devices) == 1 and devices[0].platform == "cpu"
    return min(usable_cores(), _MOST) if alone else 1


def side_by_side(
    compute: Callable[[Item], States], items: Iterable[Item], streams: int
) -> Iterator[tuple[Item, States]]:
    """Each item with its finished states, in turn; the next `streams` compute meanwhile.

    `compute` may return before the device is done.
    """

    def finish(item: Item) -> States:
        states = compute(item)
        # A stream is busy until its batch is done. An accelerator's only one goes on: the next
        # batch is to be queued by then.
        return jax.block_until_ready(states) if streams > 1 else states

    pool = ThreadPoolExecutor(streams)
    waiting: deque[tuple[Item, Future[States]]] = deque()

    def first() -> tuple[Item, States]:
        item, states = waiting.popleft()
        return item, jax.block_until_ready(states.result())

    try:
        with kept_heap() if streams > 1 else nullcontext():
            for item in items:
                waiting.append((item, pool.submit(finish, item)))
                if len(waiting) > streams:
                    yield first()
            while waiting:
                yield first()
    finally:
        pool.shutdown(cancel_futures=True)
