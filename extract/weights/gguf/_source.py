"""A GGUF file's tensors under Hugging Face's names, dequantised one at a time as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from extract.weights._reads import read_array
from extract.weights._types import TensorInfo
from extract.weights.errors import UnsupportedTensorError, WeightDtypeError
from extract.weights.gguf._architectures import Architecture
from extract.weights.gguf._header import GgufHeader, GgufTensor
from spectra.extras import require
from spectra.json_fields import show

_PLAIN: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
"""Types that are passed through as stored."""

_BLOCK_VALUES = 1 << 20
"""Values dequantised at once: the gguf package's temporaries are a few times as large."""

_ROPE_FACTORS = "rope_freqs.weight"


class GgufSource:
    """A `TensorSource`; `heads` and `kv_heads` count the heads of q and of k."""

    def __init__(
        self,
        header: GgufHeader,
        tensors: Mapping[str, GgufTensor],
        *,
        heads: int,
        kv_heads: int,
        interleaved: bool,
    ) -> None:
        self._path: Path = header.path
        self._identity = header.identity
        self._stored = tensors
        self._heads = {"q_proj": heads, "k_proj": kv_heads} if interleaved else {}
        self._tensors = {
            name: TensorInfo(tensor.shape, _dtype(tensor), tensor.kind_name)
            for name, tensor in tensors.items()
        }

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """What there is, by Hugging Face's names."""
        return self._tensors

    def read(self, name: str) -> NDArray[Any]:
        """The tensor: float32 where it is stored quantised, else as it is stored.

        Beside the result only the stored bytes and a block of a few megabytes are held.
        """
        tensor, info = self._stored[name], self._tensors[name]
        rows = self._in_order(name, tensor, self._raw(tensor))
        if tensor.kind_name in _PLAIN:
            return np.ascontiguousarray(rows).view(info.dtype).reshape(info.shape)
        return _dequantised(rows, tensor).reshape(info.shape)

    def _raw(self, tensor: GgufTensor) -> NDArray[np.uint8]:
        """[rows, row_bytes]; a vector's values are one row."""
        shape = (tensor.rows, tensor.row_bytes)
        return read_array(self._path, self._identity, tensor.offset, shape, np.dtype(np.uint8))

    def _in_order(
        self, name: str, tensor: GgufTensor, rows: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The rows as transformers has them. Moving them is cheapest before they are unpacked."""
        projection, kind = name.split(".")[-2:]
        if projection not in self._heads:
            return rows
        # A bias is one row of values; each of them belongs to a row of the weight.
        values = rows.reshape(tensor.shape[-1], -1) if kind == "bias" else rows
        return values[_halves_order(len(values), self._heads[projection])].reshape(rows.shape)


def hf_tensors(header: GgufHeader, kind: Architecture) -> dict[str, GgufTensor]:
    """The file's tensors by Hugging Face's names.

    Raises `UnsupportedTensorError` for one that the architecture does not have, and
    `WeightDtypeError` where a tensor's type cannot be unpacked.
    """
    named = {kind.hf_name(name) or name: tensor for name, tensor in header.tensors.items()}
    unknown = [name for name in header.tensors if kind.hf_name(name) is None]
    if _ROPE_FACTORS in unknown:
        raise UnsupportedTensorError(
            f"{header.path} has the tensor {_ROPE_FACTORS}: rotary frequencies scaled one by one "
            "(Llama 3.1 and later), which config.json can only express by the rule they came from. "
            "Take the model's safetensors checkpoint."
        )
    if unknown:
        raise UnsupportedTensorError(
            f"{header.path} has {len(unknown)} tensors that a {kind.model_type} model has not: "
            f"{', '.join(show(name) for name in unknown[:5])}. Take the model's safetensors "
            "checkpoint."
        )
    _check_types(header)
    return named


def _check_types(header: GgufHeader) -> None:
    """Unpack one block of zeros of each type: the package has no list of what it can unpack."""
    gguf = require("gguf", "gguf")
    for kind in {tensor.kind for tensor in header.tensors.values()}:
        number = gguf.GGMLQuantizationType(kind)
        if number.name in _PLAIN:
            continue
        try:
            gguf.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[number][1]), np.uint8), number)
        except NotImplementedError:
            names = [name for name, tensor in header.tensors.items() if tensor.kind == kind]
            raise WeightDtypeError(
                f"{header.path}: {len(names)} tensors are stored as {number.name}, which the "
                f"gguf package cannot unpack, such as {show(names[0])}. Take a file of another "
                "quantisation, such as Q8_0 or BF16."
            ) from None


def _dtype(tensor: GgufTensor) -> np.dtype[Any]:
    return _PLAIN.get(tensor.kind_name, np.dtype(np.float32))


def _dequantised(rows: NDArray[np.uint8], tensor: GgufTensor) -> NDArray[np.float32]:
    gguf = require("gguf", "gguf")
    kind = gguf.GGMLQuantizationType(tensor.kind)
    out = np.empty((tensor.rows, tensor.shape[-1]), np.float32)
    step = max(1, _BLOCK_VALUES // max(1, tensor.shape[-1]))
    # Damaged scales can be infinite; what comes of them is found in the states.
    with np.errstate(all="ignore"):
        for start in range(0, tensor.rows, step):
            out[start : start + step] = gguf.dequantize(rows[start : start + step], kind)
    return out


def _halves_order(rows: int, heads: int) -> NDArray[np.int64]:
    """For each row, as transformers counts them, where llama.cpp has it.

    Within a head, llama.cpp keeps the two rows of a rotated pair side by side; transformers has
    all first ones and then all second ones.
    """
    pairs = np.arange(rows).reshape(heads, -1, 2)
    return pairs.swapaxes(1, 2).reshape(-1)
