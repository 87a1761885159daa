"""The typed objects: what config.json and index.json say, once validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from spectra.strict_json import JSONObject

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
INDEX_NAME = "index.json"
TENSOR_NAME = "hidden_states"

LARGEST_CONFIG = 64 << 20
LARGEST_INDEX = 1 << 30
"""Bytes; four million steps at the published dataset's verbosity."""

NO_EXTRA: JSONObject = MappingProxyType({})
"""Shared by every object without unknown fields: an index has hundreds of thousands of steps."""


def _no_extra() -> JSONObject:
    return NO_EXTRA


@dataclass(frozen=True, slots=True)
class Shard:
    """A file holding rows [token_start, token_end) of one layer's concatenated states."""

    file: str
    token_start: int
    token_end: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A saved layer; its shards are in row order, from 0 to num_tokens without gaps.

    `index` counts as the field does: 0 is the embeddings, k the residual stream after block k.
    `final_norm` says whether the model's final norm was applied; None where the file does not.
    """

    index: int
    final_norm: bool | None
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """config.json: `layer` is the primary one, `layers` every saved one by rising index.

    `storage_dtype` is "bfloat16", "float16" or "float32"; `hidden_dim` the width of a row;
    `num_hidden_layers` how many blocks the model has, None where the file does not say; `extra` the
    fields that this reader does not know, kept to be written back.
    """

    model: str
    layer: int
    saved_layers: tuple[int, ...]
    hidden_dim: int
    storage_dtype: str
    num_tokens: int
    num_samples: int
    num_steps: int
    layers: tuple[Layer, ...]
    num_hidden_layers: int | None = None
    format_version: int = FORMAT_VERSION
    extra: JSONObject = field(default_factory=_no_extra)


@dataclass(frozen=True, slots=True)
class Step:
    """One annotated span of a trace; all ranges are half-open and may be empty.

    `token_*` count from the sample's first token, `global_*` = global_offset + `token_*` are rows
    of the concatenated shards. `segment` is "thought", "solution" or None; `category` has its
    white space normalised, None where the file has null or nothing. `char_*` are characters of
    the response.
    """

    token_start: int
    token_end: int
    global_start: int
    global_end: int
    segment: str | None = None
    category: str | None = None
    char_start: int | None = None
    char_end: int | None = None
    extra: JSONObject = field(default_factory=_no_extra)


@dataclass(frozen=True, slots=True)
class Sample:
    """One trace: rows [global_offset, global_offset + num_tokens), its steps in index order.

    The first `prompt_tokens` of them are the prompt's. `problem_id` names the cluster to resample
    by, None where the file does not.
    """

    sample_id: str
    problem_id: str | None
    global_offset: int
    num_tokens: int
    prompt_tokens: int | None
    steps: tuple[Step, ...]
    extra: JSONObject = field(default_factory=_no_extra)


@dataclass(frozen=True, slots=True)
class Index:
    """index.json, with sentences on what was odd in it but legal.

    `overlapping_steps` counts the steps that overlap an earlier step of their sample.
    """

    samples: tuple[Sample, ...]
    format_version: int = FORMAT_VERSION
    extra: JSONObject = field(default_factory=_no_extra)
    warnings: tuple[str, ...] = ()
    overlapping_steps: int = 0
