"""The values of a GGUF header, one after the other, never beyond the file's end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from extract.weights.errors import GgufHeaderError, TruncatedGgufError
from spectra.json_fields import show
from spectra.strict_json import JSON

_TEXT, _ARRAY = 8, 9
_NUMBERS: Mapping[int, np.dtype[Any]] = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
"""GGUF's numbers of the types whose values have a fixed size."""


class Cursor:
    """Reads forward through `stream`, a file of `size` bytes."""

    def __init__(self, stream: BinaryIO, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.position = 0
        self._stream = stream

    def take(self, count: int) -> bytes:
        """The next `count` bytes; raises `TruncatedGgufError`."""
        if count > self.size - self.position:
            raise TruncatedGgufError(
                f"{self.path} is cut short or damaged: its header goes on to byte "
                f"{self.position + count:,}, the file ends at {self.size:,}. Fetch the file again."
            )
        self.position += count
        return self._stream.read(count)

    def unsigned(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def text(self) -> str:
        """A string: its length in bytes, then UTF-8."""
        data = self.take(self.unsigned(8))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GgufHeaderError(
                f"{self.path}: a string before byte {self.position:,} is not UTF-8 "
                f"({data[error.start]:#04x} at its byte {error.start}). "
                "The header is damaged; fetch the file again."
            ) from None

    def value(self, key: str) -> JSON:
        """A type and a value of it; `key` is whose, for messages.

        A float32 becomes the double of the fewest digits that rounds to it: 1e-05 and not
        9.999999747378752e-06, since that is what the model's config.json said.
        """
        kind = self.unsigned(4)
        if kind == _ARRAY:
            kind, count = self.unsigned(4), self.unsigned(8)
            return self._array(key, kind, count)
        if kind == _TEXT:
            return self.text()
        value: np.generic = self._numbers(key, kind, 1)[0]
        if not isinstance(value, np.floating):
            number: int | bool = value.item()
            return number
        if not np.isfinite(value):
            raise GgufHeaderError(
                f"{self.path}: metadata {show(key)} is {value}; expected a finite number. "
                "Convert the model again."
            )
        return float(str(value))

    def _array(self, key: str, kind: int, count: int) -> JSON:
        if kind == _TEXT:
            return [self.text() for _ in range(count)]
        return list(self._numbers(key, kind, count).tolist())

    def _numbers(self, key: str, kind: int, count: int) -> NDArray[Any]:
        if kind not in _NUMBERS:
            raise GgufHeaderError(
                f"{self.path}: metadata {show(key)} is of type {kind}; expected one of GGUF's "
                "types, and no array of arrays. The header is damaged, or newer than this reader."
            )
        dtype = _NUMBERS[kind]
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)
