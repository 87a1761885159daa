"""The header of a safetensors file, read strictly and without touching the tensor data.

Layout (safetensors format): 8 bytes little-endian length N, N bytes of JSON
`{name: {dtype, shape, data_offsets}}` with an optional `__metadata__`, then the data, which the
tensors tile without gap or overlap to the last byte of the file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from spectra.artifacts.layout import TENSOR_NAME
from spectra.errors import (
    InputError,
    MissingTensorError,
    ShardHeaderError,
    TrailingBytesError,
    TruncatedShardError,
)
from spectra.files import Identity, identity_of, refuse_lfs_pointer, stat_regular, unreadable
from spectra.json_fields import MAX_INTEGER, Fields, show, some
from spectra.strict_json import loads

LONGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""

_LENGTH_BYTES = 8
_MOST_DIMENSIONS = 64
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """The tensor `hidden_states` of one file: safetensors dtype name, shape, absolute offset.

    `identity` is the file's (device, inode, size, mtime in ns) when the header was read, `sha256`
    the hash of the header's JSON in hexadecimal.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    identity: Identity
    sha256: str

    @property
    def file_size(self) -> int:
        """The file's size in bytes."""
        return self.identity[2]


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: safetensors' name of its dtype, its shape, its bytes within the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """All tensors of one file, and where its data begin; `identity`, `sha256` as `ShardHeader`."""

    path: Path
    tensors: tuple[TensorEntry, ...]
    data_start: int
    identity: Identity
    sha256: str


def read_header(path: Path) -> ShardHeader:
    """The header of the shard at `path`, compared with the file's size.

    Raises what `read_tensors` raises, or `MissingTensorError`.
    """
    header = read_tensors(path)
    for tensor in header.tensors:
        if tensor.name == TENSOR_NAME:
            offset = header.data_start + tensor.begin
            return ShardHeader(tensor.dtype, tensor.shape, offset, header.identity, header.sha256)
    names = some(tensor.name for tensor in header.tensors) or "none"
    raise MissingTensorError(
        f"{path} has no tensor {TENSOR_NAME!r}; its tensors are: {names}. "
        "Expected the shard of a hidden-state artifact."
    )


def read_tensors(path: Path) -> SafetensorsHeader:
    """The header of the safetensors file at `path`, compared with the file's size.

    Raises what `spectra.files` raises, `ShardHeaderError`, `TruncatedShardError`,
    `TrailingBytesError`, or a `Json…Error` for the header's text.
    """
    status = stat_regular(path)
    text = _header_bytes(path, status.st_size)
    tensors = _tensors(text, f"{path}: header")
    start = _LENGTH_BYTES + len(text)
    _check_tiling(tensors, path)
    _check_size(path, start + max((tensor.end for tensor in tensors), default=0), status.st_size)
    digest = hashlib.sha256(text).hexdigest()
    return SafetensorsHeader(path, tuple(tensors), start, identity_of(status), digest)


def _header_bytes(path: Path, size: int) -> bytes:
    try:
        with open(path, "rb") as stream:
            head = stream.read(64)
            refuse_lfs_pointer(path, head)
            if len(head) < _LENGTH_BYTES:
                raise _truncated(path, "at least 8", size)
            length = int.from_bytes(head[:_LENGTH_BYTES], "little")
            if length > LONGEST_HEADER:
                raise ShardHeaderError(
                    f"{path}: the header's length field says {length:,} bytes; expected at most "
                    f"{LONGEST_HEADER:,} in a file of {size:,}. It is not a safetensors file, or "
                    "it is damaged; fetch it again."
                )
            if _LENGTH_BYTES + length > size:
                raise _truncated(path, f"at least {_LENGTH_BYTES + length:,}", size)
            stream.seek(_LENGTH_BYTES)
            return stream.read(length)
    except OSError as error:
        raise unreadable(path, error) from None


def _tensors(text: bytes, where: str) -> list[TensorEntry]:
    record = Fields.of(loads(text, where=where), where)
    names = [name for name in record.fields if name != "__metadata__"]
    return [_tensor(name, Fields.of(record.get(name), f"{where}: {show(name)}")) for name in names]


def _tensor(name: str, entry: Fields) -> TensorEntry:
    dtype = entry.text("dtype")
    if dtype not in _BITS:
        raise ShardHeaderError(
            f"{entry.where}: dtype {show(dtype)} is not one of safetensors' ({', '.join(_BITS)})."
        )
    shape = _naturals(entry, "shape")
    offsets = _naturals(entry, "data_offsets")
    if len(offsets) != 2 or (offsets[1] - offsets[0]) * 8 != math.prod(shape) * _BITS[dtype]:
        raise ShardHeaderError(
            f"{entry.where}: data_offsets {list(offsets)} do not fit shape {list(shape)} of dtype "
            f"{dtype}, which needs {math.prod(shape) * _BITS[dtype] // 8:,} bytes. "
            "The header is damaged; fetch or write the file again."
        )
    return TensorEntry(name, dtype, shape, *offsets)


def _naturals(entry: Fields, key: str) -> tuple[int, ...]:
    values = entry.array(key)
    # Few and of a size that files can have: their product is taken, and may be printed.
    sound = (type(value) is int and 0 <= value <= MAX_INTEGER for value in values)
    if len(values) > _MOST_DIMENSIONS or not all(sound):
        raise ShardHeaderError(
            f"{entry.where}: {key} is [{some(values)}]; expected non-negative integers, "
            f"at most {_MOST_DIMENSIONS} of them, none above {MAX_INTEGER}."
        )
    return tuple(value for value in values if type(value) is int)


def _check_tiling(tensors: list[TensorEntry], path: Path) -> None:
    end, before = 0, "the start of the data"
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != end:
            fault = "leaves a gap after" if tensor.begin > end else "overlaps"
            raise ShardHeaderError(
                f"{path}: tensor {show(tensor.name)} at bytes [{tensor.begin}, {tensor.end}) "
                f"{fault} {before}, which ends at {end}. Expected tensors one after the other."
            )
        end, before = tensor.end, f"tensor {show(tensor.name)}"


def _check_size(path: Path, expected: int, size: int) -> None:
    if size < expected:
        raise _truncated(path, f"{expected:,}", size)
    if size > expected:
        raise TrailingBytesError(
            f"{path} has {size:,} bytes; its header accounts for {expected:,}, so "
            f"{size - expected:,} are left over at the end. Fetch or write the file again."
        )


def _truncated(path: Path, expected: str, size: int) -> InputError:
    return TruncatedShardError(
        f"{path} is cut short: expected {expected} bytes, found {size:,}. Fetch the file again."
    )
