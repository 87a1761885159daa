"""The header of a GGUF file, read strictly and without touching the tensor data.

Layout (GGUF 2 and 3, little-endian): magic, version, counts of tensors and of metadata; the
metadata, each a name, a type and a value; for each tensor its name, shape, type and offset; then,
aligned, the data. The gguf package's own reader maps the file and keeps an array object for every
string in it, which for a vocabulary is hundreds of megabytes; this one keeps the values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from extract.weights.errors import (
    GgufHeaderError,
    GgufVersionError,
    NotGgufError,
    TruncatedGgufError,
)
from extract.weights.gguf._cursor import Cursor
from spectra.extras import require
from spectra.files import Identity, identity_of, refuse_lfs_pointer, stat_regular, unreadable
from spectra.json_fields import show
from spectra.strict_json import JSON, JSONObject

MAGIC = b"GGUF"

_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor: `shape` with rows first, the number and name of its type, its bytes' place.

    A row, the last axis, takes `row_bytes` bytes; `offset` counts from the start of the file.
    """

    shape: tuple[int, ...]
    kind: int
    kind_name: str
    row_bytes: int
    offset: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return math.prod(self.shape[:-1])


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Everything before the data; `sha256` is the hash of those bytes in hexadecimal."""

    path: Path
    metadata: JSONObject
    tensors: Mapping[str, GgufTensor]
    identity: Identity
    sha256: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A tensor as the header has it: `offset` counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


def read_gguf_header(path: Path) -> GgufHeader:
    """The header of the file at `path`, compared with the file's size.

    Raises what `spectra.files` raises, `NotGgufError`, `GgufVersionError`, `TruncatedGgufError`,
    `GgufHeaderError`, or `MissingExtraError` where the gguf package is not installed.
    """
    status = stat_regular(path)
    try:
        with open(path, "rb") as stream:
            cursor = Cursor(stream, path, status.st_size)
            entries, metadata = _parse(cursor, stream)
            start = _align(cursor.position, _alignment(metadata, path))
            stream.seek(0)
            digest = hashlib.sha256(stream.read(min(start, status.st_size))).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
    tensors = {entry.name: _tensor(entry, start, path, status.st_size) for entry in entries}
    _check_apart(tensors, path)
    return GgufHeader(path, metadata, tensors, identity_of(status), digest)


def _parse(cursor: Cursor, stream: BinaryIO) -> tuple[list[_Entry], dict[str, JSON]]:
    _check_magic(cursor.path, stream.read(64), cursor.size)
    stream.seek(0)
    cursor.take(len(MAGIC))
    version = cursor.unsigned(4)
    if version not in _VERSIONS:
        order = " in big-endian order" if version & 0xFFFF == 0 else ""
        raise GgufVersionError(
            f"{cursor.path} is of GGUF version {version:#x}{order}; expected version 2 or 3 in "
            "little-endian order. Convert the model again with a current llama.cpp."
        )
    tensors, pairs = cursor.unsigned(8), cursor.unsigned(8)
    metadata: dict[str, JSON] = {}
    for _ in range(pairs):
        key = cursor.text()
        if key in metadata:
            raise _malformed(cursor.path, f"the metadata have the key {show(key)} twice")
        metadata[key] = cursor.value(key)
    entries = [_entry(cursor) for _ in range(tensors)]
    if len({entry.name for entry in entries}) != len(entries):
        raise _malformed(cursor.path, "two tensors have one name")
    return entries, metadata


def _check_magic(path: Path, head: bytes, size: int) -> None:
    refuse_lfs_pointer(path, head)
    if not head.startswith(MAGIC):
        raise NotGgufError(
            f"{path} ({size:,} bytes) begins with {head[:4]!r}, not {MAGIC!r}: it is not a GGUF "
            "file. Check the path, or fetch the file again."
        )


def _entry(cursor: Cursor) -> _Entry:
    name = cursor.text()
    count = cursor.unsigned(4)
    if not 1 <= count <= _MOST_DIMENSIONS:
        raise _malformed(cursor.path, f"tensor {show(name)} has {count} dimensions")
    # GGUF counts from the fastest axis, arrays from the slowest.
    shape = tuple(cursor.unsigned(8) for _ in range(count))[::-1]
    return _Entry(name, shape, cursor.unsigned(4), cursor.unsigned(8))


def _tensor(entry: _Entry, start: int, path: Path, size: int) -> GgufTensor:
    gguf = require("gguf", "gguf")
    try:
        kind = gguf.GGMLQuantizationType(entry.kind)
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        raise _malformed(
            path, f"tensor {show(entry.name)} is of type {entry.kind}, which the gguf package lacks"
        ) from None
    if entry.shape[-1] % block:
        raise _malformed(
            path,
            f"tensor {show(entry.name)} has rows of {entry.shape[-1]} values; {kind.name} stores "
            f"blocks of {block}",
        )
    row_bytes = entry.shape[-1] // block * block_bytes
    tensor = GgufTensor(entry.shape, entry.kind, kind.name, row_bytes, start + entry.offset)
    end = tensor.offset + tensor.rows * row_bytes
    if end > size:
        raise TruncatedGgufError(
            f"{path} is cut short: tensor {show(entry.name)} ends at byte {end:,}, the file at "
            f"{size:,}. Fetch the file again."
        )
    return tensor


def _check_apart(tensors: Mapping[str, GgufTensor], path: Path) -> None:
    end, before = 0, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        if tensor.offset < end:
            raise _malformed(path, f"tensor {show(name)} begins inside tensor {show(before)}")
        end, before = tensor.offset + tensor.rows * tensor.row_bytes, name


def _alignment(metadata: JSONObject, path: Path) -> int:
    value = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(value) is not int or value <= 0 or value & (value - 1):
        raise _malformed(path, f"general.alignment is {show(value)}; expected a power of two")
    return value


def _align(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _malformed(path: Path, fault: str) -> GgufHeaderError:
    return GgufHeaderError(f"{path}: {fault}. The header is damaged; fetch the file again.")
