"""A layer's rows straight from the model: the source that fills collectors, stream and reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import Artifact, Layer, RowReader
from spectra.direct.seats import Seat
from spectra.engine.clock import Clock
from spectra.engine.source import Streamed, middle
from spectra.engine.stream import Stream
from spectra.linalg import F64
from spectra.pooling import StepTokens


class ComputedRows(RowReader):
    """The rows of one layer, computed whenever they are asked for."""

    def __init__(self, artifact: Artifact, layer: Layer, without: tuple[int, ...], seat: Seat):
        """Of a layer that is on no disk, `without` some of its dimensions."""
        config = artifact.config
        nowhere = replace(layer, shards=())
        super().__init__(
            artifact.path, nowhere, {}, config.storage_dtype, config.hidden_dim, without
        )
        self.num_rows = config.num_tokens
        self._seat = seat

    def read(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Rows [start, stop), by a pass of the model over the traces that have them."""
        if not 0 <= start <= stop <= self.num_rows:
            raise IndexError(f"rows [{start}, {stop}) of {self.num_rows}")
        found = np.empty((stop - start, self.dim), self.dtype) if out is None else out
        found = found[: stop - start]
        for begin, rows in self.pieces(lambda low, high: low < stop and high > start):
            first, last = max(start, begin), min(stop, begin + len(rows))
            found[first - start : last - start] = rows[first - begin : last - begin]
        return found

    def pieces(self, needs: Callable[[int, int], bool]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The first row's number and the rows [n, d] of each trace that needs its range."""
        traces = np.array([low < high and needs(low, high) for low, high in self._seat.traces])
        for trace, rows in self._seat.pieces(traces):
            yield self._seat.traces[trace][0], self._own(rows)

    def first_rows(self) -> NDArray[Any]:
        """Some rows [n, d] of those that are computed first."""
        return self._own(self._seat.first_rows())

    def _own(self, rows: NDArray[Any]) -> NDArray[Any]:
        """A copy, without the columns that are left out."""
        return np.take(rows, self.columns, axis=1)


@dataclass(slots=True)
class ComputedStream(Stream):
    """Gives rows trace by trace, in the order in which the model computes them."""

    rows: ComputedRows = field(kw_only=True)

    def pieces(
        self, span: tuple[int, int], needs: Callable[[int, int], bool]
    ) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
        """Each trace that needs its rows; of a whole layer alone."""
        assert self.span is None, "the rows of a part are not computed"
        for start, raw in self.rows.pieces(needs):
            with self.clock("read"):
                self.blank(raw, start)
            yield (start, start + len(raw)), raw


class Computed(Streamed):
    """A pass of the model over all traces."""

    def __init__(self, rows: ComputedRows) -> None:
        """Of the layer that `rows` has."""
        self._rows = rows
        self._shift: F64 | None = None

    def shift(self, reader: RowReader) -> F64:
        """The median of the rows that are computed first: no row is taken before it is known."""
        if self._shift is None:
            some = self._rows.num_rows > 0
            self._shift = middle(self._rows.first_rows()) if some else np.zeros(reader.dim)
        return self._shift

    def stream(self, reader: RowReader, pairs: StepTokens, clock: Clock) -> Stream:
        """Of the model."""
        return ComputedStream(reader, pairs, clock, rows=self._rows)
