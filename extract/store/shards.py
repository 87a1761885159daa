"""The plan's shards on the disk: files of their final size from the start, filled in any order.

A file is named `….partial` until every row of every file is there. A file counts as intact when
its size and its header are the plan's; the journal tells which of its rows are written.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.store.errors import interrupted
from extract.store.plan import Plan
from spectra.artifacts.shardnames import shard_name
from spectra.atomic import sync_directory
from spectra.errors import MissingFileError
from spectra.files import stat_regular, unreadable

PARTIAL = ".partial"
_MOST_HANDLES = 128
_LARGEST_WRITE = 1 << 30
_LARGEST_READ = 8 << 20
_NO_RESERVATION = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class ShardFile:
    """Shard `number` of a layer; `path` is its final name."""

    layer: int
    number: int
    path: Path

    @property
    def partial(self) -> Path:
        """Its name until all shards are whole."""
        return self.path.with_name(self.path.name + PARTIAL)


class ShardFiles:
    """All shards of a plan in one directory; not safe to use from two threads at once."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self._directory = directory
        self._plan = plan
        self._starts = [start for start, _ in plan.cuts]
        self._handles: dict[Path, int] = {}
        self._files = {
            (layer.index, number): ShardFile(
                layer.index, number, directory / shard_name(layer.index, number)
            )
            for layer in plan.layers
            for number in range(len(plan.cuts))
        }

    def missing(self) -> tuple[ShardFile, ...]:
        """The files that are not there as the plan wants them, under neither name."""
        return tuple(file for file in self._files.values() if self._intact(file) is None)

    def to_reserve(self, files: Iterable[ShardFile]) -> int:
        """Bytes of disk to make these files anew, and to fill the holes of the others."""
        anew = set(files)
        total = 0
        for file in self._files.values():
            path = None if file in anew else self._intact(file)
            held = allocated(path) if path else 0
            total += max(0, self._plan.shard_size(file.number) - held)
        return total

    def create(self, files: Iterable[ShardFile]) -> None:
        """Make these files, whatever stands in their place, with header and room for all rows."""
        for file in files:
            try:
                file.path.unlink(missing_ok=True)
                file.partial.unlink(missing_ok=True)
                self._create(file)
            except OSError as error:
                raise interrupted(file.partial, error) from None
        self._sync_directory()

    def write(self, layer: int, row: int, rows: NDArray[Any]) -> None:
        """Put `rows` [n, hidden_dim] at row `row` of a layer; all lie in one shard."""
        number = bisect_right(self._starts, row) - 1
        file = self._files[layer, number]
        skipped = (row - self._starts[number]) * self._plan.row_bytes
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data
        try:
            handle = self._open(file)
            _write_at(handle, data, len(self._plan.shard_header(number)) + skipped)
        except OSError as error:
            raise interrupted(file.partial, error) from None

    def read(self, layer: int, row: int, count: int) -> Iterator[memoryview]:
        """The bytes of `count` rows from row `row` of a layer on, piece by piece; all in one shard.

        Raises `InputError`, by way of what cannot be read.
        """
        number = bisect_right(self._starts, row) - 1
        path = self.path(layer, number)
        skipped = (row - self._starts[number]) * self._plan.row_bytes
        left = count * self._plan.row_bytes
        try:
            with open(path, "rb", buffering=0) as stream:
                stream.seek(len(self._plan.shard_header(number)) + skipped)
                while left and (piece := stream.read(min(left, _LARGEST_READ))):
                    left -= len(piece)
                    yield memoryview(piece)
        except OSError as error:
            raise unreadable(path, error) from None

    def path(self, layer: int, number: int) -> Path:
        """Where a shard is now."""
        file = self._files[layer, number]
        return file.path if file.path.exists() else file.partial

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        for path, handle in list(self._handles.items()):
            try:
                sync_data(handle)
            except OSError as error:
                raise interrupted(path, error) from None
        self.close()

    def publish(self) -> None:
        """Give every file its final name, their rows being all there."""
        for file in self._files.values():
            try:
                if file.partial.exists():
                    _sync_file(file.partial)
                    os.replace(file.partial, file.path)
            except OSError as error:
                raise interrupted(file.path, error) from None
        self._sync_directory()

    def close(self) -> None:
        """Close the files, synced or not."""
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _intact(self, file: ShardFile) -> Path | None:
        """Where the file stands whole; a kill while names were changed leaves some at the final.

        Of two, one is not ours, and there is no telling which one the rows went to.
        """
        header = self._plan.shard_header(file.number)
        if file.path.exists() and file.partial.exists():
            return None
        for path in (file.path, file.partial):
            try:
                if stat_regular(path).st_size != self._plan.shard_size(file.number):
                    continue
                with open(path, "rb") as stream:
                    if stream.read(len(header)) == header:
                        return path
            except MissingFileError:
                continue
            except OSError as error:
                raise unreadable(path, error) from None
        return None

    def _create(self, file: ShardFile) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(file.partial, flags, 0o644)
        try:
            _reserve(handle, self._plan.shard_size(file.number))
            _write_at(handle, memoryview(self._plan.shard_header(file.number)), 0)
        finally:
            os.close(handle)

    def _open(self, file: ShardFile) -> int:
        path = self.path(file.layer, file.number)
        if path not in self._handles:
            if len(self._handles) >= _MOST_HANDLES:
                self.sync()
            self._handles[path] = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        return self._handles[path]

    def _sync_directory(self) -> None:
        try:
            sync_directory(self._directory)
        except OSError as error:
            raise interrupted(self._directory, error) from None


def allocated(path: Path) -> int:
    """Bytes of disk that a file occupies, which are fewer than its size where it has holes."""
    return os.stat(path).st_blocks * 512


def sync_data(handle: int) -> None:
    """Flush a file's data and size."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(handle)


def _reserve(handle: int, size: int) -> None:
    """Take the space now, so that a disk too small is known before the first forward pass."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in _NO_RESERVATION:
            raise
    os.ftruncate(handle, size)


def _write_at(handle: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done : done + _LARGEST_WRITE], offset + done)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
