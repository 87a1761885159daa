"""Where a layer's rows come from, and what fills its collectors: shards, or what passes left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import RowReader
from spectra.backend import Backend
from spectra.distributed import ALONE, Processes
from spectra.engine.clock import Clock
from spectra.engine.collect import Collector, RowStore
from spectra.engine.collected import Collected, forms
from spectra.engine.energies import Energies
from spectra.engine.share import Share
from spectra.engine.stream import Stream
from spectra.finite import nonfinite_rows
from spectra.grouping import Ints
from spectra.linalg import F64
from spectra.pooling import StepTokens

PILOT_ROWS = 1024

Tell = Callable[[int], None]
"""Told how many token rows are done."""


class Source(Protocol):
    """What fills the collectors of a sweep.

    Attributes:
        processes: who fills them together, and shares what comes after.
    """

    @property
    def processes(self) -> Processes:
        """Who fills them together, and shares what comes after."""
        ...

    def shift(self, reader: RowReader) -> F64:
        """The shift [d] of the moments."""
        ...

    def stream(self, reader: RowReader, pairs: StepTokens, clock: Clock) -> Stream:
        """What gives the rows, here and wherever they are looked at again."""
        ...

    def fill(
        self, collectors: Sequence[Collector], categories: range, stream: Stream, tell: Tell
    ) -> None:
        """Have each collector hold the rows of these categories, and `stream` know bad rows."""
        ...


class Streamed:
    """One pass over the shards."""

    processes: Processes = ALONE

    def shift(self, reader: RowReader) -> F64:
        """By `pilot`."""
        return pilot(reader)

    def stream(self, reader: RowReader, pairs: StepTokens, clock: Clock) -> Stream:
        """Of the shards."""
        return Stream(reader, pairs, clock)

    def fill(
        self, collectors: Sequence[Collector], categories: range, stream: Stream, tell: Tell
    ) -> None:
        """Have the rows of these categories stream by."""
        plans = [collector.plan for collector in collectors]
        wanted = [plan.among(categories) for plan in plans]
        for block in stream.blocks([plan.rows for plan in plans], wanted, tell):
            collectors[block.pool].add(block.rows, block.numbers)


STREAMED = Streamed()


class Merged:
    """The sum of shares that were collected before; reads no states."""

    processes: Processes = ALONE

    def __init__(self, shift: F64, bad: Ints, parts: Iterable[Sequence[Collected]]) -> None:
        """`parts` in the order of their ranges, each with all pools; `bad` of all their rows."""
        self._shift, self._bad = shift, bad
        self._parts = [{one.share.plan.rows.pool: one for one in part} for part in parts]

    def shift(self, reader: RowReader) -> F64:
        """As it was when the parts were collected."""
        return self._shift

    def stream(self, reader: RowReader, pairs: StepTokens, clock: Clock) -> Stream:
        """Of the shards."""
        return Stream(reader, pairs, clock)

    def fill(
        self, collectors: Sequence[Collector], categories: range, stream: Stream, tell: Tell
    ) -> None:
        """Add the parts up, in their order."""
        stream.bad = np.union1d(stream.bad, self._bad)
        for part in self._parts:
            for collector in collectors:
                collector.merge(part[collector.plan.rows.pool], categories)
            tell(max(one.share.stop for one in part.values()))


def collect_shares(
    shares: Sequence[Share], reader: RowReader, shift: F64, backend: Backend, tell: Tell
) -> tuple[list[Collected], Ints]:
    """What one pass over a range of token rows leaves of every pool, and the bad rows of it.

    The shares are of one range, and all pools' `pairs` are the same.
    """
    collectors, energies = [], []
    for share in shares:
        plan, numbers = share.plan, np.sort(share.stored)
        dtype = np.dtype(np.float64) if plan.rows.pool == "mean" else reader.dtype
        lasting = plan.lasts(numbers)
        energies.append(Energies() if plan.diagnoses else None)
        collectors.append(
            Collector(
                *(plan, numbers[~lasting], RowStore(numbers[lasting], plan.dim, dtype), dtype),
                *(shift, backend, energies[-1]),
            )
        )
    rows = [share.plan.rows for share in shares]
    span = (shares[0].start, shares[0].stop)
    stream = Stream(reader, rows[0].pairs, Clock(), span=span)
    everything = [np.ones(one.atoms.count, bool) for one in rows]
    for block in stream.blocks(rows, everything, tell):
        collectors[block.pool].add(block.rows, block.numbers)
    found = []
    for number, (share, collector) in enumerate(zip(shares, collectors, strict=True)):
        collector.finish()
        form = forms(share, reader.dtype, backend.mode)
        found.append(collector.collected(share, form, stream.crossing[number]))
    return found, stream.bad


def pilot(reader: RowReader) -> F64:
    """The shift [d] of the moments: the median of evenly spaced token rows, in float32.

    Any shift gives the same spectra in exact arithmetic; one near the mean keeps large means from
    costing digits. It depends on the states alone, so labels and options do not move results by
    rounding.
    """
    if reader.num_rows == 0:
        return np.zeros(reader.dim)
    places = np.unique(
        np.linspace(0, reader.num_rows - 1, min(PILOT_ROWS, reader.num_rows)).astype(int)
    )
    return middle(np.stack([reader.read(int(p), int(p) + 1)[0] for p in places]))


def middle(rows: NDArray[Any]) -> F64:
    """The median [d] of the finite ones of rows [n, d], in float32; zeros if there is none."""
    # Before they are widened, which tells of a NaN that damage made by a warning.
    finite = np.delete(rows, nonfinite_rows(rows), axis=0).astype(np.float64)
    if len(finite) == 0:
        return np.zeros(rows.shape[1])
    return np.median(finite, axis=0).astype(np.float32).astype(np.float64)
