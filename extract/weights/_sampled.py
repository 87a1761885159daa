"""Telling one file of weights from another without reading all of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from spectra.files import open_for_reading, read_into
from spectra.strict_json import JSON

_BLOCKS, _BLOCK_BYTES = 256, 4096


def file_identity(path: Path, size: int, header_sha256: str) -> dict[str, JSON]:
    """A file of weights for the provenance: its size, its header's hash, a hash of its values.

    A header tells of names and shapes alone, which a model keeps when it is trained further.

    Raises `UnreadableFileError` or `ShardChangedError`.
    """
    return {
        "bytes": size,
        "header_sha256": header_sha256,
        "sampled_sha256": sampled_sha256(path, size),
    }


def sampled_sha256(path: Path, size: int) -> str:
    """SHA-256, in hexadecimal, of 256 blocks of 4 KiB spread evenly from first byte to last.

    Of a file of `size` bytes that has no more than these, the whole is hashed. Training changes
    nearly every value, so one in these blocks as well.
    """
    digest = hashlib.sha256()
    handle = open_for_reading(path)
    try:
        for offset, length in _blocks(size):
            block = memoryview(bytearray(length))
            read_into(handle, block, offset, path)
            digest.update(block)
    finally:
        os.close(handle)
    return digest.hexdigest()


def _blocks(size: int) -> list[tuple[int, int]]:
    if size <= _BLOCKS * _BLOCK_BYTES:
        return [(0, size)]
    last = size - _BLOCK_BYTES
    return [(last * place // (_BLOCKS - 1), _BLOCK_BYTES) for place in range(_BLOCKS)]
