"""Hugging Face's config.json, from a GGUF file's metadata and tensors."""

from __future__ import annotations

from collections.abc import Mapping

from extract.weights.errors import UnsupportedArchitectureError
from extract.weights.gguf._architectures import ARCHITECTURES, OLMO3, Architecture
from extract.weights.gguf._header import GgufHeader, GgufTensor
from spectra.errors import FieldValueError, MissingFieldError
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON

_ROPE_BASE = 10000.0
"""llama.cpp's where the metadata have none."""
_MOST_BLOCKS = 4096
"""Far above any model: what a damaged file may say is refused before it is built."""
_WINDOW_PERIOD = 4
"""Of olmo2 with a window and no pattern: every fourth block sees everything."""
_READ = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "tensor_data_layout",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.finetuned",
)
_READ_OF_OLMO2 = ("attention.sliding_window", "attention.sliding_window_pattern")
_NO_MEANING_IF_ZERO = ("expert_count", "expert_used_count")


def architecture(header: GgufHeader) -> Architecture:
    """Raises `UnsupportedArchitectureError` for any but those of `ARCHITECTURES`."""
    name = _metadata(header).text("general.architecture")
    if name not in ARCHITECTURES:
        raise UnsupportedArchitectureError(
            f"{header.path} is of architecture {show(name)}; GGUF files are read of "
            f"{', '.join(ARCHITECTURES)}. Take the model's safetensors checkpoint."
        )
    return ARCHITECTURES[name]


def build_config(header: GgufHeader, tensors: Mapping[str, GgufTensor]) -> dict[str, JSON]:
    """config.json of the model whose tensors, by Hugging Face's names, are `tensors`.

    Raises `UnsupportedArchitectureError` for a setting that is not understood, since each one may
    change the numbers; `MissingFieldError`, `FieldTypeError` or `FieldValueError`.
    """
    kind = architecture(header)
    metadata = _metadata(header)
    settings = _settings(header, kind.model_type)
    heads = settings.integer("attention.head_count", low=1)
    config: dict[str, JSON] = {
        "architectures": [kind.class_name],
        "model_type": kind.model_type,
        "hidden_size": settings.integer("embedding_length", low=1),
        "intermediate_size": settings.integer("feed_forward_length", low=1),
        "num_hidden_layers": settings.integer("block_count", low=1, high=_MOST_BLOCKS),
        "num_attention_heads": heads,
        "num_key_value_heads": settings.integer_or_none("attention.head_count_kv") or heads,
        "head_dim": _head_dim(settings),
        "max_position_embeddings": settings.integer("context_length", low=1),
        "rms_norm_eps": settings.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": settings.number_or_none("rope.freq_base") or _ROPE_BASE,
        "rope_scaling": _rope_scaling(settings),
        "hidden_act": "silu",
        "attention_bias": "model.layers.0.self_attn.q_proj.bias" in tensors,
        "mlp_bias": "model.layers.0.mlp.up_proj.bias" in tensors,
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "vocab_size": _vocab_size(header, tensors),
        "bos_token_id": metadata.integer_or_none("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata.integer_or_none("tokenizer.ggml.eos_token_id"),
    }
    return config | _windows(settings)


def _metadata(header: GgufHeader) -> Fields:
    return Fields(header.metadata, f"{header.path}: metadata")


def _settings(header: GgufHeader, name: str) -> Fields:
    """The architecture's own metadata, their names without its name; all of them understood."""
    prefix = f"{name}."
    found = {
        key.removeprefix(prefix): value
        for key, value in header.metadata.items()
        if key.startswith(prefix)
    }
    read = _READ + (_READ_OF_OLMO2 if name == "olmo2" else ())
    unknown = {key: value for key, value in found.items() if key not in read}
    unknown = {k: v for k, v in unknown.items() if k not in _NO_MEANING_IF_ZERO or v != 0}
    if unknown:
        raise UnsupportedArchitectureError(
            f"{header.path}: the metadata have "
            f"{_some(prefix, unknown)}, "
            "which this reader does not know and which may change the numbers. Take the model's "
            "safetensors checkpoint."
        )
    return Fields(found, f"{header.path}: metadata {name}")


def _some(prefix: str, settings: Mapping[str, JSON]) -> str:
    shown = [f"{prefix}{key[:60]} = {show(value)}" for key, value in settings.items()]
    return ", ".join(shown[:5]) + (", …" if len(shown) > 5 else "")


def _head_dim(settings: Fields) -> int:
    # Always told: transformers' default is not hidden_size / heads in every architecture.
    given = settings.integer_or_none("attention.key_length")
    heads = settings.integer("attention.head_count", low=1)
    width = given or settings.integer("embedding_length", low=1) // heads
    for key in ("attention.value_length", "rope.dimension_count"):
        other = settings.integer_or_none(key)
        if other is not None and other != width:
            raise UnsupportedArchitectureError(
                f"{settings.where}: {key} is {other} and heads are {width} wide; expected the two "
                "to be equal. Take the model's safetensors checkpoint."
            )
    return width


def _rope_scaling(settings: Fields) -> dict[str, JSON] | None:
    kind = settings.fields.get("rope.scaling.type")
    if kind is None or kind == "none":
        return None
    if kind == "linear":
        return {"rope_type": kind, "factor": settings.number("rope.scaling.factor")}
    if kind != "yarn":
        raise UnsupportedArchitectureError(
            f"{settings.where}: rope.scaling.type is {show(kind)}; linear and yarn are read. "
            "Take the model's safetensors checkpoint."
        )
    optional = {
        "attention_factor": settings.number_or_none("rope.scaling.yarn_attn_factor")
        or settings.number_or_none("rope.scaling.attn_factor"),
        "beta_fast": settings.number_or_none("rope.scaling.yarn_beta_fast"),
        "beta_slow": settings.number_or_none("rope.scaling.yarn_beta_slow"),
    }
    return {
        "rope_type": "yarn",
        "factor": settings.number("rope.scaling.factor"),
        "original_max_position_embeddings": settings.integer(
            "rope.scaling.original_context_length", low=1
        ),
        **{key: value for key, value in optional.items() if value is not None},
    }


def _windows(settings: Fields) -> dict[str, JSON]:
    """What makes an olmo2 with a sliding window an olmo3; nothing for any other model."""
    window = settings.integer_or_none("attention.sliding_window")
    if not window:
        return {}
    blocks = settings.integer("block_count", low=1, high=_MOST_BLOCKS)
    pattern = settings.fields.get("attention.sliding_window_pattern", _WINDOW_PERIOD)
    if type(pattern) is int and pattern > 0:
        pattern = [(block + 1) % pattern != 0 for block in range(blocks)]
    if not isinstance(pattern, list) or len(pattern) != blocks:
        raise FieldValueError(
            f"{settings.where}: attention.sliding_window_pattern is {show(pattern)}; expected true "
            f"or false for each of the {blocks} blocks, or a period."
        )
    return {
        "architectures": [OLMO3.class_name],
        "model_type": OLMO3.model_type,
        "sliding_window": window,
        "layer_types": ["sliding_attention" if s else "full_attention" for s in pattern],
    }


def _vocab_size(header: GgufHeader, tensors: Mapping[str, GgufTensor]) -> int:
    table = tensors.get("model.embed_tokens.weight")
    if table is None:
        raise MissingFieldError(
            f"{header.path} has no tensor token_embd.weight; expected the token embeddings. "
            "It is not a language model, or one file of several."
        )
    return table.rows
