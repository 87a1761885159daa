"""One pass over a layer's shards that yields the rows of all pools, block by block."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import RowReader
from spectra.engine.clock import Clock
from spectra.finite import nonfinite_rows
from spectra.grouping import Ints
from spectra.pooling import PooledRows, StepTokens, kept_before, kept_tokens, ranges

BLOCK_BYTES = 16 << 20
Progress = Callable[[int], None]


class Block(NamedTuple):
    """Rows [m, d] of pool number `pool`, and their numbers [m] in it; good until the next one."""

    pool: int
    rows: NDArray[np.generic]
    numbers: Ints


@dataclass(slots=True)
class Stream:
    """Reads the token rows that some pooled rows need, once, in file order.

    Attributes:
        reader: the open layer.
        pairs: the (token, step) pairs that count.
        bad: sorted global rows with NaN or infinite values, found so far; those rows are read as
            zeros, and so are the dropped ones.
        clock: counts reading, the search for bad rows included, and pooling.
        span: the token rows [start, stop) that are read; None for all.
        crossing: after a pass over such a span, for each pool the sums over the tokens in it of
            means that have others outside, by number; those have no rows in the blocks.
    """

    reader: RowReader
    pairs: StepTokens
    clock: Clock
    bad: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    span: tuple[int, int] | None = None
    crossing: list[dict[int, NDArray[np.float64]]] = field(default_factory=list)

    def blocks(
        self,
        pools: Sequence[PooledRows],
        wanted: Sequence[NDArray[np.bool_]],
        progress: Progress = lambda rows: None,
    ) -> Generator[Block]:
        """The rows of wanted atoms ([atoms] a pool) of several pools, in one pass, each once."""
        begin, end = self.span or (0, self.reader.num_rows)
        sources = [
            (_Means if rows.pool == "mean" else _Picks)(number, rows, want, (begin, end))
            for number, (rows, want) in enumerate(zip(pools, wanted, strict=True))
        ]

        def needs(start: int, stop: int) -> bool:
            return any(source.needs(start, stop) for source in sources)

        for (start, stop), raw in self.pieces((begin, end), needs):
            for source in sources:
                taken = source.take(raw, start, stop)
                while (block := self._next(taken)) is not None:
                    yield block
            progress(stop)
        self.crossing = [source.crossing() for source in sources]
        progress(end)

    def pieces(
        self, span: tuple[int, int], needs: Callable[[int, int], bool]
    ) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
        """Ranges of token rows of which some are needed, each once, with their rows [n, d].

        Rows last until the next piece; what no sum may have is zeros in them.
        """
        begin, end = span
        size = max(1, BLOCK_BYTES // (self.reader.dim * self.reader.dtype.itemsize))
        spans = [(start, min(start + size, end)) for start in range(begin, end, size)]
        return self._read_ahead([one for one in spans if needs(*one)], size)

    def _read_ahead(
        self, spans: Sequence[tuple[int, int]], size: int
    ) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
        """Each span's rows, which last until the next is asked for; that is read meanwhile."""
        buffers = [np.empty((size, self.reader.dim), self.reader.dtype) for _ in range(2)]

        def read(number: int) -> NDArray[Any]:
            start, stop = spans[number]
            with self.clock("read"):
                raw = self.reader.read(start, stop, out=buffers[number % 2][: stop - start])
                self.blank(raw, start)
            return raw

        with ThreadPoolExecutor(1) as thread:
            coming = [thread.submit(read, 0)] if spans else []
            for number, span in enumerate(spans):
                raw = coming.pop().result()
                if number + 1 < len(spans):
                    coming.append(thread.submit(read, number + 1))
                yield span, raw

    def _next(self, blocks: Iterator[Block]) -> Block | None:
        with self.clock("pool"):
            return next(blocks, None)

    def blank(self, raw: NDArray[Any], start: int) -> None:
        """Zeros for the rows that no sum may have: those that are dropped, and bad ones."""
        dropped = self.pairs.dropped
        here = slice(*np.searchsorted(dropped, (start, start + len(raw))))
        raw[dropped[here] - start] = 0
        bad = nonfinite_rows(raw)
        if len(bad):
            raw[bad] = 0
            self.bad = np.union1d(self.bad, bad + start)


def scan_bad_rows(reader: RowReader, span: tuple[int, int], progress: Progress) -> Ints:
    """Read token rows [start, stop) of a layer for NaN and infinity: their sorted numbers."""
    size = max(1, BLOCK_BYTES // (reader.dim * reader.dtype.itemsize))
    found, (begin, end) = [np.empty(0, np.int64)], span
    for start in range(begin, end, size):
        stop = min(start + size, end)
        found.append(nonfinite_rows(reader.read(start, stop)) + start)
        progress(stop)
    return np.concatenate(found)


class _Runs:
    """A pool's runs of wanted atoms, sorted by their first token."""

    def __init__(
        self, pool: int, rows: PooledRows, wanted: NDArray[np.bool_], span: tuple[int, int]
    ) -> None:
        self._pool, self._dropped = pool, rows.pairs.dropped
        runs = np.flatnonzero(wanted[rows.atom])
        low, high = (border[runs] for border in rows.tokens())
        order = np.argsort(low, kind="stable")
        self._low, self._high, self._runs = low[order], high[order], runs[order]
        self._number = rows.first[self._runs]
        # Steps that overlap may end in another order than they begin.
        self._reach = np.maximum.accumulate(self._high)

    def needs(self, start: int, stop: int) -> bool:
        return len(self._within(start, stop)) > 0

    def crossing(self) -> dict[int, NDArray[np.float64]]:
        """Of the rows that have tokens on both sides of the span's borders, the sums within."""
        return {}

    def _within(self, start: int, stop: int) -> Ints:
        """Places of the runs that have tokens in a range of rows."""
        low = int(np.searchsorted(self._reach, start, side="right"))
        here = np.arange(low, int(np.searchsorted(self._low, stop)))
        return here[self._high[here] > start]


class _Picks(_Runs):
    """Pools whose rows are token rows: all, first, last."""

    def take(self, raw: NDArray[Any], start: int, stop: int) -> Iterator[Block]:
        here = self._within(start, stop)
        if len(here) == 0:
            return
        low, high = self._low[here], self._high[here]
        begin = kept_before(np.maximum(low, start), self._dropped)
        count = kept_before(np.minimum(high, stop), self._dropped) - begin
        tokens = kept_tokens(ranges(begin, count), self._dropped)
        numbers = ranges(self._number[here] + begin - kept_before(low, self._dropped), count)
        if np.any(tokens[1:] < tokens[:-1]):
            # Where steps overlap, too, rows come by token: their order is not the blocks'.
            order = np.lexsort((numbers, tokens))
            numbers, tokens = numbers[order], tokens[order]
        if len(numbers):
            first, last = int(tokens[0]) - start, int(tokens[-1]) - start
            run = last - first + 1 == len(tokens) and bool(np.all(np.diff(tokens) == 1))
            rows = raw[first : last + 1] if run else raw[tokens - start]
            yield Block(self._pool, rows, numbers)


class _Means(_Runs):
    """The mean pool: sums over each step's tokens, carried across block borders."""

    def __init__(
        self, pool: int, rows: PooledRows, wanted: NDArray[np.bool_], span: tuple[int, int]
    ) -> None:
        super().__init__(pool, rows, wanted, span)
        self._crosses = (self._low < span[0]) | (self._high > span[1])
        self._tokens = rows.pairs.count[rows.step[self._runs]]
        self._open: dict[int, NDArray[np.float64]] = {}
        self._wide = np.empty((0, 0))

    def take(self, raw: NDArray[Any], start: int, stop: int) -> Iterator[Block]:
        here = self._within(start, stop)
        if len(here) == 0:
            return
        begin = np.maximum(self._low[here], start) - start
        end = np.minimum(self._high[here], stop) - start
        sums = self._range_sums(raw, begin, end)
        for place in np.flatnonzero(self._low[here] < start):
            sums[place] += self._open.pop(int(here[place]), 0.0)  # it may begin before the span
        unfinished = (self._high[here] > stop) | self._crosses[here]
        for place in np.flatnonzero(unfinished):
            self._open[int(here[place])] = sums[place].copy()
        done = here[~unfinished]
        if len(done):
            # Divided, not multiplied by an inverse: equal rows must have exactly their mean.
            yield Block(
                self._pool, sums[~unfinished] / self._tokens[done, None], self._number[done]
            )

    def crossing(self) -> dict[int, NDArray[np.float64]]:
        return {int(self._number[place]): sums for place, sums in self._open.items()}

    def _range_sums(self, raw: NDArray[Any], begin: Ints, end: Ints) -> NDArray[np.float64]:
        """Sums [k, d] in float64 of raw [m, d] over k half-open row ranges, which may overlap.

        One range after the other, in a cache: `np.add.reduceat` along rows was 20 times slower.
        """
        sums = np.empty((len(begin), raw.shape[1]))
        if len(self._wide) < (longest := int((end - begin).max())):
            self._wide = np.empty((longest, raw.shape[1]))
        for place, (low, high) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
            values = self._wide[: high - low]
            np.copyto(values, raw[low:high])
            np.add.reduce(values, axis=0, out=sums[place])
        return sums
