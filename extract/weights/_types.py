"""What a model is once found: its configuration, its tensors one at a time, its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spectra.strict_json import JSONObject

if TYPE_CHECKING:
    from extract.text import TextTokenizer


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor before it is read.

    `shape` is that of the array which `read` returns, `dtype` its dtype (bfloat16 is ml_dtypes');
    `stored` is the file's own name of how it is stored, such as "BF16" or "Q4_1".
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: str


class TensorSource(Protocol):
    """A checkpoint's tensors, read one at a time: no second copy of the model is ever held."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """What there is, by Hugging Face's names ("model.layers.0.self_attn.q_proj.weight")."""

    def read(self, name: str) -> NDArray[Any]:
        """The tensor in its stored layout, (out, in) for a linear map; a new array at each call.

        Safe to call from several threads. Raises `ShardChangedError` when the file is no longer
        the one that was opened, `UnreadableFileError` when it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that can be loaded.

    Attributes:
        name: What config.json's `model` will say: the hub's name, or the directory's or file's.
        config: Hugging Face's config.json; built from the metadata for a GGUF file.
        config_where: Where `config` came from, for error messages.
        tensors: The weights.
        provenance: Revision, files, sizes and hashes, ready for JSON.
        load_tokenizer: What `tokenizer` calls.
    """

    name: str
    config: JSONObject
    config_where: str
    tensors: TensorSource
    provenance: JSONObject
    load_tokenizer: Callable[[], TextTokenizer]

    def tokenizer(self) -> TextTokenizer:
        """The model's tokenizer, read now, with its chat template and special tokens.

        Raises `MissingTokenizerError` or, for a GGUF file, `GgufTokenizerError`.
        """
        return self.load_tokenizer()
