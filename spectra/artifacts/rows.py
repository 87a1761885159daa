"""Reading rows: straight from the files into the caller's array, across shard borders."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from spectra.artifacts.header import ShardHeader
from spectra.artifacts.layout import Layer
from spectra.errors import ShardChangedError
from spectra.files import identity_of, open_for_reading, read_into, unreadable

DTYPES: dict[str, np.dtype[Any]] = {
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
}


class RowReader:
    """The rows of one layer, [num_rows, dim] in storage dtype; a context manager.

    Attributes:
        dtype: as stored.
        dim: width of the rows, without the columns that are left out.
        num_rows: how many there are.
        columns: [dim] numbers of the dimensions that are read.

    Each file's inode, size and time of change are compared on opening and on closing with those
    seen when its header was read; `ShardChangedError` names a file that differs. Reads from
    several threads at once are safe.
    """

    def __init__(
        self,
        directory: Path,
        layer: Layer,
        headers: Mapping[str, ShardHeader],
        dtype: str,
        dim: int,
        without: Sequence[int] = (),
    ) -> None:
        """Of rows stored with width dim, `without` some of their dimensions; `headers` by file."""
        self.dtype = DTYPES[dtype]
        self.columns = np.setdiff1d(np.arange(dim), np.array(without, np.int64))
        self.dim, self._width = len(self.columns), dim
        self.num_rows = layer.shards[-1].token_end if layer.shards else 0
        self._starts = [shard.token_start for shard in layer.shards]
        self._ends = [shard.token_end for shard in layer.shards]
        self._paths = [directory / shard.file for shard in layer.shards]
        self._known, self._headers = headers, list[ShardHeader]()
        self._handles: list[int] = []

    def __enter__(self) -> RowReader:
        self._headers = [self._known[path.name] for path in self._paths]
        try:
            for path, header in zip(self._paths, self._headers, strict=True):
                self._handles.append(open_for_reading(path))
                _check_unchanged(path, os.fstat(self._handles[-1]), header)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if error is None:
            self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raise `ShardChangedError` if any file is no longer the one that was opened."""
        for path, header in zip(self._paths, self._headers, strict=True):
            try:
                status = os.stat(path)
            except OSError as error:
                raise unreadable(path, error) from None
            _check_unchanged(path, status, header)

    def read(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Rows [start, stop) as [stop - start, dim] in `dtype`, copied once.

        `out`, a C-contiguous array of at least that many rows of the same dtype and width, takes
        them in its first rows; the view of those is returned.
        """
        if not 0 <= start <= stop <= self.num_rows:
            raise IndexError(f"rows [{start}, {stop}) of {self.num_rows}")
        if out is None:
            out = np.empty((stop - start, self.dim), self.dtype)
        out = out[: stop - start]
        if self.dim < self._width:
            whole = self._read(start, np.empty((stop - start, self._width), self.dtype))
            return np.take(whole, self.columns, axis=1, out=out, mode="clip")
        return self._read(start, out)

    def _read(self, start: int, out: NDArray[Any]) -> NDArray[Any]:
        """Whole rows from `start` on, as many as `out` has."""
        stop = start + len(out)
        # bfloat16 has no buffer-protocol format, bytes have.
        target = out.view(np.uint8).reshape(-1).data
        row_bytes = self._width * self.dtype.itemsize
        number, row = bisect_right(self._starts, start) - 1, start
        while row < stop:
            end = min(stop, self._ends[number])
            part = target[(row - start) * row_bytes : (end - start) * row_bytes]
            skipped = (row - self._starts[number]) * row_bytes
            offset = self._headers[number].offset + skipped
            read_into(self._handles[number], part, offset, self._paths[number])
            number, row = number + 1, end
        return out

    def _close(self) -> None:
        while self._handles:
            os.close(self._handles.pop())


def _check_unchanged(path: Path, status: os.stat_result, header: ShardHeader) -> None:
    if identity_of(status) != header.identity:
        raise ShardChangedError(
            f"{path} changed during the run: it had {header.file_size:,} bytes when it was "
            f"checked and has {status.st_size:,} now, with another time or inode. "
            "Stop whatever writes to it and run again."
        )
