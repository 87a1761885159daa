"""Files of lines, plain or compressed, read and written as streams of bytes.

What a file is, its first bytes decide; its name decides only how it is written. Memory stays small
whatever a stream unpacks to, since nothing asks for more than a line of limited length at once.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol

from extract.traces.errors import CompressedTracesError, TraceLineTooLongError
from spectra import atomic
from spectra.extras import require
from spectra.files import refuse_lfs_pointer, stat_regular, unreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_LINE_BYTES = 64 << 20
"""The longest line that is read; a trace of 128 k tokens with its token ids has about 2 MB."""

_STANDARD_INPUT = "-"
_XZ, _GZIP, _ZSTD = b"\xfd7zXZ\x00", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_HEAD = 32
# A zstd block of 4 bytes can hold 128 KiB, so this much of a file unpacks to 16 MiB at most.
_ZSTD_READ = 512


class Sink(Protocol):
    """What bytes can be written to."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`."""


def lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """The numbers (from 1) and bytes of the lines that are not blank, of a file or of "-".

    Raises what `spectra.files` raises for the file itself, `CompressedTracesError` and
    `TraceLineTooLongError`.
    """
    with _opened(path) as stream:
        number = 0
        while line := _next_line(stream, name_of(path), number + 1):
            number += 1
            if line.strip():
                yield number, line


def name_of(path: str | os.PathLike[str]) -> str:
    """The input's name in error messages."""
    return "standard input" if os.fspath(path) == _STANDARD_INPUT else os.fspath(path)


@contextmanager
def writing(path: Path) -> Iterator[Sink]:
    """A stream whose bytes become the file at `path`, compressed as its suffix says.

    Its directory is made where absent. The same bytes and the same compression library give the
    same file. Raises `OutputError`, and then leaves `path` as it was.
    """
    atomic.make_directory(path.parent)
    with atomic.replacing(path) as raw, _compressing(path.suffix, raw) as stream:
        yield stream


def _next_line(stream: io.BufferedIOBase, where: str, number: int) -> bytes:
    damage: tuple[type[Exception], ...] = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error)
    try:
        line = stream.readline(MAX_LINE_BYTES + 1)
    except damage as error:
        raise CompressedTracesError(
            f"{where}: the compressed stream is cut short or damaged at line {number} ({error}). "
            "Fetch or write the file again."
        ) from None
    except OSError as error:
        raise unreadable(Path(where), error) from None
    if len(line) > MAX_LINE_BYTES:
        raise TraceLineTooLongError(
            f"{where}, line {number} has more than {MAX_LINE_BYTES:,} bytes. Expected JSON Lines, "
            "one trace a line; check that it is the right file."
        )
    return line


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[io.BufferedIOBase]:
    if os.fspath(path) == _STANDARD_INPUT:
        yield _decompressing(io.BufferedReader(_Unseekable(sys.stdin.buffer)))
        return
    path = Path(path)
    stat_regular(path)
    try:
        raw = open(path, "rb")  # noqa: SIM115 - opened apart, so that only opening is guarded
    except OSError as error:
        raise unreadable(path, error) from None
    with raw:
        refuse_lfs_pointer(path, raw.peek(_HEAD))
        yield _decompressing(raw)


def _decompressing(raw: io.BufferedReader) -> io.BufferedIOBase:
    head = raw.peek(_HEAD)
    if head.startswith(_XZ):
        return lzma.LZMAFile(raw)
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(_ZSTD):
        return io.BufferedReader(_ZstdFile(raw))
    return raw


@contextmanager
def _compressing(suffix: str, raw: BinaryIO) -> Iterator[Sink]:
    if suffix == ".xz":
        with lzma.LZMAFile(raw, "w") as stream:
            yield stream
    elif suffix == ".gz":
        # No name and no time, which would differ from run to run.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
            yield stream
    elif suffix == ".zst":
        compressor = require("zstandard", "extract").ZstdCompressor(level=9, write_checksum=True)
        with compressor.stream_writer(raw, closefd=False) as stream:
            yield stream
    else:
        yield raw


class _Unseekable(io.RawIOBase):
    """A stream that is read once, as raw bytes, whatever it is made of."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        view[: len(data)] = data
        return len(data)


class _ZstdFile(io.RawIOBase):
    """The unpacked bytes of one zstd frame after another.

    The package's own file object takes a frame that is cut short for a whole one.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._zstandard = require("zstandard", "extract")
        self._raw = raw
        self._frame: Any = None
        self._packed = b""
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._unpacked and self._advance():
            pass
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._unpacked))
        view[:size] = self._unpacked[:size]
        self._unpacked = self._unpacked[size:]
        return size

    def _advance(self) -> bool:
        """Unpack a little more; False at the end."""
        self._packed = self._packed or self._raw.read(_ZSTD_READ)
        if not self._packed:
            if self._frame is not None:
                raise EOFError("the last frame has no end")
            return False
        if self._frame is None:
            self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        try:
            self._unpacked = memoryview(self._frame.decompress(self._packed))
        except self._zstandard.ZstdError as error:
            raise EOFError(str(error)) from None
        self._packed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return True
