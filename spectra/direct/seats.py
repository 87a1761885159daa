"""Layers evaluated side by side, so that one pass of the model serves all that ask for one.

Each layer has a thread, and one thread runs at a time: the caller's, which runs the model, or that
of one layer, until it asks for rows. When all layers that are not done have asked, one pass of the
model serves them. So the order of everything is the same whatever the machine does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.backend import one_thread_blas
from spectra.direct.states import BatchStates, States
from spectra.engine import Progress

FIRST_ROWS = 1024
"""So many rows at least are computed before any is taken, if there are as many."""

Result = TypeVar("Result")


class Piece(NamedTuple):
    """A trace's number and its rows [n, d], which may not be changed."""

    trace: int
    rows: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """Asks for the rows of these traces [T]."""

    traces: NDArray[np.bool_]


class _First:
    """Asks for some rows before any is taken."""


class _Next:
    """Asks for the next piece of the pass."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ended:
    """Asks for nothing more."""

    result: Any
    error: BaseException | None = None


class _Stop:
    """Given in place of rows where the work is given up."""


class _StoppedError(Exception):
    """The work is given up: ends a layer's thread."""


_Asked = _Pass | _First | _Next | _Ended


class Seat:
    """A layer's place: where it asks for rows, and waits for them."""

    def __init__(self, layer: int, traces: Sequence[tuple[int, int]]) -> None:
        """Of a layer, by index; `traces` are the token rows [start, stop) of each trace."""
        self.layer, self.traces = layer, traces
        self._given: SimpleQueue[Any] = SimpleQueue()
        self._asked: SimpleQueue[_Asked] = SimpleQueue()
        self._stopped = False
        self.asks: _Asked = _Next()

    def first_rows(self) -> NDArray[Any]:
        """Some rows [n, d] of the layer, before any is taken."""
        rows: NDArray[Any] = self._ask(_First())
        return rows

    def pieces(self, traces: NDArray[np.bool_]) -> Iterator[Piece]:
        """The rows of these traces [T], in the order of batches; they last until the next piece."""
        if traces.any():
            piece: Piece | None = self._ask(_Pass(traces))
            while piece is not None:
                yield piece
                piece = self._ask(_Next())

    def check(self) -> None:
        """End the layer's thread here, if the work was given up meanwhile."""
        if self._stopped:
            raise _StoppedError

    def begin(self, task: Callable[[Seat], Any]) -> None:
        """Have the thread run until it asks for something."""
        name = f"layer {self.layer}"
        threading.Thread(target=self._work, args=(task,), name=name, daemon=True).start()
        self.asks = self._asked.get()

    def give(self, something: Piece | NDArray[Any] | None) -> None:
        """Give what was asked for (None: the pass is over) and wait until more is asked for."""
        self._given.put(something)
        self.asks = self._asked.get()

    def stop(self) -> None:
        """Give the work up: the thread ends where it waits, or will wait, or checks."""
        self._stopped = True
        self._given.put(_Stop())

    def _ask(self, what: _Asked) -> Any:
        self.check()
        self._asked.put(what)
        given = self._given.get()
        self.check()
        return given

    def _work(self, task: Callable[[Seat], Any]) -> None:
        try:
            ended = _Ended(task(self))
        except BaseException as error:  # whatever it is, the caller's thread is to raise it
            ended = _Ended(None, error)
        self._asked.put(ended)


class Table:
    """Runs layers side by side over the passes of a model."""

    def __init__(self, states: States, progress: Progress) -> None:
        """`progress` is told of passes, in tokens."""
        self._states, self._progress = states, progress
        self._held: list[tuple[int, BatchStates]] = []
        self.passes = 0

    def serve(self, layers: Sequence[int], task: Callable[[Seat], Result]) -> list[Result]:
        """What the task gives for each layer, in their order; one that fails stops the others."""
        seats = [Seat(layer, self._states.traces) for layer in layers]
        try:
            with one_thread_blas():
                for seat in seats:
                    seat.begin(task)
                    _raise_if_failed(seat)
                while asking := [seat for seat in seats if not isinstance(seat.asks, _Ended)]:
                    first = [seat for seat in asking if isinstance(seat.asks, _First)]
                    if first:
                        self._give_first(first, layers)
                    else:
                        self._pass(asking)
        except BaseException:
            for seat in seats:
                seat.stop()
            raise
        finally:
            self._held.clear()
        return [seat.asks.result for seat in seats if isinstance(seat.asks, _Ended)]

    def _give_first(self, seats: Sequence[Seat], layers: Sequence[int]) -> None:
        """Compute as many batches as have `FIRST_ROWS`; they are kept for the pass that follows."""
        if not self._held:
            wanted = self._first_batches()
            self._progress("computing", 0, 0)
            computed = self._states.compute(wanted, layers)
            self._held += zip(wanted, computed, strict=True)
        for seat in seats:
            held = [rows for _, states in self._held for rows in states[seat.layer]]
            _resume(seat, np.concatenate(held) if held else None)

    def _first_batches(self) -> list[int]:
        traces, wanted, rows = self._states.traces, list[int](), 0
        for number, members in enumerate(self._states.batches):
            if rows >= FIRST_ROWS:
                break
            wanted.append(number)
            rows += sum(stop - start for start, stop in (traces[one] for one in members))
        return wanted

    def _pass(self, seats: Sequence[Seat]) -> None:
        """One pass for all that wait for one, over the batches of all traces that they need."""
        self.passes += 1
        wanted = {seat: seat.asks.traces for seat in seats if isinstance(seat.asks, _Pass)}
        needed = np.any(list(wanted.values()), axis=0)
        batches = self._states.batches
        numbers = [n for n, members in enumerate(batches) if needed[list(members)].any()]
        sizes = [sum(self._rows_of(trace) for trace in batches[number]) for number in numbers]
        layers, stage = [seat.layer for seat in seats], f"computing, pass {self.passes}"
        done, total = 0, sum(sizes)
        self._progress(stage, 0, total)
        with closing(self._arriving(numbers, layers)) as arriving:
            for number, size, states in zip(numbers, sizes, arriving, strict=True):
                for place, trace in enumerate(batches[number]):
                    for seat in [one for one, traces in wanted.items() if traces[trace]]:
                        _resume(seat, Piece(trace, states[seat.layer][place]))
                        if not isinstance(seat.asks, _Next):
                            del wanted[seat]  # it wants no more of this pass
                done += size
                self._progress(stage, done, total)
        for seat in wanted:
            _resume(seat, None)

    def _arriving(self, numbers: Sequence[int], layers: Sequence[int]) -> Generator[BatchStates]:
        """The states of these batches, in turn: those that are held are the first ones."""
        held, self._held = self._held, []
        begun = 0
        while held:
            number, states = held.pop(0)
            if number in numbers[begun : begun + 1]:
                begun += 1
                yield states
        yield from self._states.compute(numbers[begun:], layers)

    def _rows_of(self, trace: int) -> int:
        start, stop = self._states.traces[trace]
        return stop - start


def _resume(seat: Seat, something: Piece | NDArray[Any] | None) -> None:
    seat.give(something)
    _raise_if_failed(seat)


def _raise_if_failed(seat: Seat) -> None:
    if isinstance(seat.asks, _Ended) and seat.asks.error is not None:
        raise seat.asks.error
