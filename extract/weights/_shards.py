"""Which file holds which tensor of a Hugging Face directory, and that nothing is missing.

`model.safetensors` is taken where it is, as transformers does; otherwise the files that
`model.safetensors.index.json` names are the model, all of them and no other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from extract.weights._reads import read_array
from extract.weights._types import TensorInfo
from extract.weights.errors import MissingWeightsError, WeightDtypeError, WeightMapError
from spectra.artifacts.header import SafetensorsHeader, read_tensors
from spectra.artifacts.shardnames import fault_in_name
from spectra.errors import MissingShardsError, ShardNameError
from spectra.files import Identity
from spectra.json_fields import Fields, show
from spectra.strict_json import load

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

_LARGEST_INDEX = 64 << 20
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
}
"""safetensors' names of the dtypes that are read."""


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    identity: Identity
    offset: int


class SafetensorsSource:
    """The tensors of checked safetensors files; a `TensorSource`."""

    def __init__(self, tensors: Mapping[str, TensorInfo], places: Mapping[str, _Place]) -> None:
        self._tensors = tensors
        self._places = places

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """What there is, by the names in the files."""
        return self._tensors

    def read(self, name: str) -> NDArray[Any]:
        """The tensor as stored, a new array."""
        info, place = self._tensors[name], self._places[name]
        return read_array(place.path, place.identity, place.offset, info.shape, info.dtype)


def read_index(directory: Path) -> dict[str, str]:
    """`weight_map` of the index: for each tensor the name of its file, a plain name.

    Raises what `spectra.strict_json` raises, `MissingFieldError`, `FieldTypeError`,
    `ShardNameError` or `WeightMapError`.
    """
    path = directory / INDEX_NAME
    document = Fields.of(load(path, max_bytes=_LARGEST_INDEX), str(path))
    entries = Fields.of(document.get("weight_map"), f"{path}: weight_map")
    if not entries.fields:
        raise WeightMapError(f"{path}: weight_map is empty; expected the model's tensors.")
    names = {tensor: entries.text(tensor) for tensor in entries.fields}
    for name in set(names.values()):
        _check_plain(name, entries.where)
    return names


def stored_files(directory: Path, fetch: str) -> tuple[SafetensorsHeader, ...]:
    """The headers of the files that are the model, compared with the index where there is one.

    Args:
        directory: Where the files are.
        fetch: The command that fetches files into it, with {files} for their names.

    Raises:
        MissingWeightsError: There is neither file nor index.
        MissingShardsError: The index names files that are not there; all are listed.
        WeightMapError: A file lacks tensors that the index says it has, or has others.
        InputError: What `read_index` or `read_tensors` raise.
    """
    if os.path.lexists(directory / SINGLE_NAME):
        return (read_tensors(directory / SINGLE_NAME),)
    if not os.path.lexists(directory / INDEX_NAME):
        raise _no_weights(directory)
    names = read_index(directory)
    expected: dict[str, set[str]] = {file: set() for file in sorted(set(names.values()))}
    for tensor, file in names.items():
        expected[file].add(tensor)
    _check_present(directory, list(expected), fetch)
    files = tuple(read_tensors(directory / file) for file in expected)
    for stored, tensors in zip(files, expected.values(), strict=True):
        _check_contents(stored, tensors)
    return files


def open_source(files: tuple[SafetensorsHeader, ...], scheme: str | None) -> SafetensorsSource:
    """The tensors of `files`.

    `scheme` is what the model's configuration says of quantisation, for the message of
    `WeightDtypeError`, raised where a tensor is not bfloat16, float16 or float32.
    """
    tensors: dict[str, TensorInfo] = {}
    places: dict[str, _Place] = {}
    other: dict[str, str] = {}
    for file in files:
        for entry in file.tensors:
            dtype = _DTYPES.get(entry.dtype)
            if dtype is None:
                other[entry.name] = entry.dtype
                continue
            tensors[entry.name] = TensorInfo(entry.shape, dtype, entry.dtype)
            places[entry.name] = _Place(file.path, file.identity, file.data_start + entry.begin)
    if other:
        raise _other_dtypes(other, files[0].path.parent, scheme)
    return SafetensorsSource(tensors, places)


def _check_plain(name: str, where: str) -> None:
    fault = fault_in_name(name)
    if fault:
        raise ShardNameError(
            f"{where}: the file name {show(name)} does not name a file in the same directory: it "
            f"{fault}. Expected a plain name such as 'model-00001-of-00002.safetensors'."
        )


def _check_present(directory: Path, files: list[str], fetch: str) -> None:
    missing = [file for file in files if not (directory / file).exists()]
    if missing:
        raise MissingShardsError(
            f"{directory}: {len(missing)} of the {len(files)} files that {INDEX_NAME} names are "
            f"not there: {', '.join(missing)}. Fetch them with:\n"
            f"  {fetch.format(files=' '.join(missing))}"
        )


def _check_contents(file: SafetensorsHeader, expected: set[str]) -> None:
    found = {entry.name for entry in file.tensors}
    faults = (
        (expected - found, "lacks", f"that {INDEX_NAME} says it has"),
        (found - expected, "has", f"that {INDEX_NAME} does not list for it"),
    )
    for names, verb, why in faults:
        if names:
            raise WeightMapError(
                f"{file.path} {verb} {len(names)} tensors {why}: {_some(names)}. The file and the "
                "index are of different models or saves; fetch both again."
            )


def _no_weights(directory: Path) -> MissingWeightsError:
    held = sorted(name for name in os.listdir(directory) if name.endswith((".bin", ".pth", ".pt")))
    also = (
        f" It has {', '.join(held[:3])}: pickled weights are not read, since loading them runs "
        "code; convert them to safetensors."
        if held
        else ""
    )
    return MissingWeightsError(
        f"{directory} has neither {SINGLE_NAME} nor {INDEX_NAME}; expected one of them beside "
        f"config.json.{also}"
    )


def _other_dtypes(
    other: Mapping[str, str], directory: Path, scheme: str | None
) -> WeightDtypeError:
    kinds = ", ".join(sorted(set(other.values())))
    why = f" (config.json says it is quantised: {scheme})" if scheme else ""
    return WeightDtypeError(
        f"{directory}: {len(other)} tensors are stored as {kinds}{why}: {_some(other)}. Expected "
        "BF16, F16 or F32; take the model's unquantised checkpoint."
    )


def _some(names: Mapping[str, str] | set[str]) -> str:
    listed = sorted(names)
    return ", ".join(show(name) for name in listed[:5]) + (", …" if len(listed) > 5 else "")
