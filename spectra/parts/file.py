"""A part's file: safetensors, a record as its metadata, tensors written and read in slices.

The last tensor is the SHA-256 of all bytes before its own: what is added up is what was collected.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from spectra.artifacts.header import SafetensorsHeader, read_tensors
from spectra.engine import Array, Form
from spectra.errors import InputError, PartFormatError
from spectra.files import open_for_reading, read_into, unreadable
from spectra.parts.naming import Part
from spectra.strict_json import dumps, loads

RECORD = "spectra_part"
DIGEST = "sha256"
DIGEST_FORM = Form(np.dtype(np.uint8), (32,))
SLICE_BYTES = 16 << 20

_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype(np.uint8),
    "I64": np.dtype(np.int64),
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def header(forms: Mapping[str, Form], record: Mapping[str, Any]) -> bytes:
    """The bytes before the data of these tensors, which follow in this order."""
    document: dict[str, Any] = {"__metadata__": {RECORD: dumps(record, indent=None).strip()}}
    begin = 0
    for name, form in forms.items():
        end = begin + form.size
        document[name] = {
            "dtype": _NAMES[form.dtype],
            "shape": list(form.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = dumps(document, indent=None).strip().encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class Sealed:
    """A stream of a part's bytes, whose hash comes last."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Further bytes of the file."""
        self._hash.update(data)
        self._stream.write(data)

    def seal(self) -> None:
        """The last tensor."""
        self._stream.write(self._hash.digest())


def write_tensors(stream: Sealed, forms: Mapping[str, Form], arrays: Mapping[str, Array]) -> None:
    """The data of the next tensors of a header, which they follow in its order."""
    for name, array in arrays.items():
        form = forms[name]
        assert (array.dtype, tuple(array.shape)) == (form.dtype, form.shape), name
        step = max(1, SLICE_BYTES * form.shape[0] // form.size) if form.size else 1
        for start in range(0, form.shape[0], step):
            piece = np.ascontiguousarray(array[start : start + step])
            stream.write(piece.view(np.uint8).reshape(-1).data)


@dataclass(frozen=True, slots=True)
class FileArray:
    """One tensor of a file, read a slice at a time."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    def __getitem__(self, some: slice, /) -> NDArray[Any]:
        start, stop, _ = some.indices(self.shape[0])
        found = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        if found.nbytes:
            each = found.nbytes // len(found)
            handle = open_for_reading(self.path)
            try:
                target = found.view(np.uint8).reshape(-1).data
                read_into(handle, target, self.offset + start * each, self.path)
            finally:
                os.close(handle)
        return found


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part's file whose header was read and fits its size.

    Attributes:
        path: where it is.
        record: what it says of itself.
        tensors: those that it has, by name.
    """

    path: Path
    record: dict[str, Any]
    tensors: dict[str, FileArray]

    @classmethod
    def open(cls, path: Path) -> PartFile:
        """Read the header.

        Raises:
            PartFormatError: it is not a file of this kind, or cut short.
        """
        try:
            found = read_tensors(path)
            record = _record(found)
        except InputError as error:
            raise PartFormatError(
                f"{path} is not a whole part of a run: {error} Remove it, or have it written again "
                "(--fresh)."
            ) from None
        tensors = {
            one.name: FileArray(path, one.shape, _DTYPES[one.dtype], found.data_start + one.begin)
            for one in found.tensors
            if one.dtype in _DTYPES
        }
        return cls(path, record, tensors)

    def is_part(self, part: Part) -> None:
        """Raise `PartFormatError` unless it is this part by what it says of itself."""
        if self.record.get("part") != str(part):
            raise PartFormatError(
                f"{self.path} is not part {part} of a run: it was written as part "
                f"{ascii(self.record.get('part'))[:40]}, and copied or renamed. Put each part "
                "under its own name, or have it written again (--fresh)."
            )

    def check(self, forms: Iterable[tuple[str, Form]]) -> None:
        """Raise `PartFormatError` unless it has just these tensors, with the bytes as written."""
        self.expect(forms)
        made, told = hashlib.sha256(), self.tensors[DIGEST]
        left = told.offset
        handle = open_for_reading(self.path)
        try:
            while left and (piece := os.pread(handle, min(left, SLICE_BYTES), told.offset - left)):
                made.update(piece)
                left -= len(piece)
        except OSError as error:
            raise unreadable(self.path, error) from None
        finally:
            os.close(handle)
        if made.digest() != told[:].tobytes():
            raise PartFormatError(
                f"{self.path} is not a whole part of a run: its bytes are not those that were "
                "written, by the SHA-256 at its end. Remove it, or have it written again (--fresh)."
            )

    def expect(self, forms: Iterable[tuple[str, Form]]) -> None:
        """Raise `PartFormatError` unless it has just these tensors."""
        wanted = {name: (form.dtype, form.shape) for name, form in forms}
        found = {name: (one.dtype, one.shape) for name, one in self.tensors.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise PartFormatError(
                    f"{self.path} is not a whole part of a run: its tensor {name!a} is "
                    f"{found.get(name)}; expected {wanted.get(name)}. Remove it, or have it "
                    "written again (--fresh)."
                )


def _record(found: SafetensorsHeader) -> dict[str, Any]:
    with open(found.path, "rb") as stream:
        document = loads(stream.read(found.data_start)[8:], where=f"{found.path}: header")
    metadata = document.get("__metadata__") if isinstance(document, dict) else None
    text = metadata.get(RECORD) if isinstance(metadata, dict) else None
    record = loads(text.encode(), where=f"{found.path}: {RECORD}") if isinstance(text, str) else 0
    if not isinstance(record, dict):
        raise PartFormatError(f"its header has no {RECORD}.")
    return dict(record)
