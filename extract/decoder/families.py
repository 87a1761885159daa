"""From a Hugging Face config.json to a `DecoderSpec`; the families are rows of a table.

Files of transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`, flat or one for
each layer type) are read. What the decoder does not implement is an error and never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from extract.decoder.errors import UnsupportedModelError
from extract.decoder.rope import refuse_partial_rotation, rope_of
from extract.decoder.spec import DecoderSpec, LayerKind, NormPlacement, QkNorm, Rope
from spectra.errors import FieldValueError
from spectra.json_fields import Fields, show, some
from spectra.strict_json import JSON, JSONObject

RopeVariant = Literal["per_layer_type", "all_layers"]

FULL, SLIDING = "full_attention", "sliding_attention"

# Far above any model: what a damaged file may say is refused before it is built.
_MAX_LAYERS, _MAX_WIDTH, _MAX_VOCABULARY = 4096, 1 << 20, 1 << 26


@dataclass(frozen=True, slots=True)
class _Family:
    """What the `model_type` fixes and the config does not say.

    `sliding`: which blocks slide where the config has no `layer_types`; "none" ignores a window.
    """

    norm_placement: NormPlacement = "before"
    qk_norm: QkNorm = "none"
    float32_norm_weight_and_rope: bool = False
    rope_theta: float = 10_000.0
    head_dim: int | None = None
    qkv_bias: bool | None = None
    output_bias: bool | None = None
    has_mlp_bias: bool = False
    sliding: Literal["none", "switched", "three_of_four"] = "none"


_OLMO = {
    "norm_placement": "after",
    "qk_norm": "projection",
    "float32_norm_weight_and_rope": True,
}
FAMILIES: Mapping[str, _Family] = {
    "llama": _Family(has_mlp_bias=True),
    "qwen2": _Family(qkv_bias=True, output_bias=False, sliding="switched"),
    "qwen3": _Family(qk_norm="head", head_dim=128, sliding="switched"),
    "olmo2": _Family(**_OLMO),  # type: ignore[arg-type]
    "olmo3": _Family(**_OLMO, rope_theta=500_000.0, sliding="three_of_four"),  # type: ignore[arg-type]
}


def spec_of(
    config: JSONObject, where: str, *, rope_variant: RopeVariant = "per_layer_type"
) -> DecoderSpec:
    """The decoder that a config.json describes.

    Args:
        config: The file's object.
        where: The file, for error messages.
        rope_variant: "per_layer_type" scales Olmo 3's rotary frequencies on full-attention blocks
            alone, as it was trained; "all_layers" on all, as transformers 5.0 to 5.12 did
            (transformers#45945), to compare with states made by those.

    Raises `UnsupportedModelError`, or `InputError` for fields absent, mistyped or impossible.
    """
    record = Fields(config, where)
    name = record.text("model_type")
    if name not in FAMILIES:
        raise UnsupportedModelError(
            f"{where}: model_type is {show(name)}. Expected one of {', '.join(FAMILIES)}; other "
            "architectures are not implemented."
        )
    family = FAMILIES[name]
    _refuse_other_settings(record)
    hidden = record.integer("hidden_size", low=1, high=_MAX_WIDTH)
    heads = record.integer("num_attention_heads", low=1, high=_MAX_WIDTH)
    kv_heads = _width_or_none(record, "num_key_value_heads") or heads
    head_dim = _width_or_none(record, "head_dim") or family.head_dim or hidden // heads
    if heads % kv_heads or head_dim % 2:
        raise FieldValueError(
            f"{where}: {heads} query heads over {kv_heads} key and value heads, of {head_dim} "
            "dimensions. Expected a whole number of query heads for each, and an even dimension."
        )
    bias = bool(record.boolean_or_none("attention_bias"))
    return DecoderSpec(
        family=name,
        vocab_size=record.integer("vocab_size", low=1, high=_MAX_VOCABULARY),
        hidden_dim=hidden,
        mlp_dim=record.integer("intermediate_size", low=1, high=_MAX_WIDTH),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        norm_eps=record.number("rms_norm_eps"),
        norm_placement=family.norm_placement,
        qk_norm=family.qk_norm,
        qkv_bias=bias if family.qkv_bias is None else family.qkv_bias,
        output_bias=bias if family.output_bias is None else family.output_bias,
        mlp_bias=family.has_mlp_bias and bool(record.boolean_or_none("mlp_bias")),
        norm_weight_float32=family.float32_norm_weight_and_rope,
        rope_float32=family.float32_norm_weight_and_rope,
        kinds=_kinds(record, family, head_dim, rope_variant),
    )


def _width_or_none(record: Fields, key: str) -> int | None:
    """A width, or None where the config leaves it to the family; 0 is none."""
    if record.fields.get(key) is None:
        return None
    return record.integer(key, low=1, high=_MAX_WIDTH)


def _refuse_other_settings(record: Fields) -> None:
    activation = record.fields.get("hidden_act", "silu")
    if activation != "silu":
        raise UnsupportedModelError(
            f'{record.where}: hidden_act is {show(activation)}. Expected "silu"; other '
            "activations are not implemented."
        )
    refuse_partial_rotation(record)
    if record.fields.get("quantization_config") is not None:
        raise UnsupportedModelError(
            f"{record.where}: quantization_config is present. Expected plain bfloat16, float16 or "
            "float32 weights; fetch the unquantised model, or a GGUF file of it."
        )


def _kinds(
    record: Fields, family: _Family, head_dim: int, rope_variant: RopeVariant
) -> tuple[LayerKind, ...]:
    names = _layer_types(record, family)
    window = record.integer_or_none("sliding_window") if SLIDING in names else None
    off = family.sliding == "switched" and not record.boolean_or_none("use_sliding_window")
    if SLIDING in names and (off or not window):
        raise FieldValueError(
            f"{record.where}: {names.count(SLIDING)} layers slide but sliding_window is "
            f"{show(record.fields.get('sliding_window'))}"
            + (" and use_sliding_window is not true" if off else "")
            + ". Expected the window's width in tokens."
        )
    ropes = _ropes(record, family, head_dim, rope_variant)
    kinds = {FULL: LayerKind(None, ropes[FULL]), SLIDING: LayerKind(window, ropes[SLIDING])}
    return tuple(kinds[name] for name in names)


def _layer_types(record: Fields, family: _Family) -> list[str]:
    count = record.integer("num_hidden_layers", low=1, high=_MAX_LAYERS)
    given = record.fields.get("layer_types")
    if given is None or family.sliding == "none":
        return _usual_layer_types(record, family, count)
    names = [str(name) for name in record.array("layer_types")]
    odd = sorted(set(names) - {FULL, SLIDING})
    if odd or len(names) != count:
        raise FieldValueError(
            f"{record.where}: layer_types has {len(names)} entries"
            + (f", among them {some(odd)}" if odd else "")
            + f". Expected {count} (num_hidden_layers), each {FULL!r} or {SLIDING!r}."
        )
    return names


def _usual_layer_types(record: Fields, family: _Family, count: int) -> list[str]:
    if family.sliding == "three_of_four":
        return [SLIDING if (block + 1) % 4 else FULL for block in range(count)]
    if family.sliding == "switched" and record.boolean_or_none("use_sliding_window"):
        first = record.integer_or_none("max_window_layers")
        first = 28 if first is None else first
        return [SLIDING if block >= first else FULL for block in range(count)]
    return [FULL] * count


def _ropes(
    record: Fields, family: _Family, head_dim: int, rope_variant: RopeVariant
) -> dict[str, Rope]:
    base = record.number_or_none("rope_theta", above=1) or family.rope_theta
    limit = record.integer_or_none("max_position_embeddings")

    def rope(settings: JSON, place: str) -> Rope:
        return rope_of(Fields.of(settings, f"{record.where}: {place}"), head_dim, base, limit)

    # transformers prefers the older name too, where a file has both.
    place = "rope_scaling" if record.fields.get("rope_scaling") else "rope_parameters"
    given = record.fields.get(place) or {}
    settings = Fields.of(given, f"{record.where}: {place}").fields
    if {FULL, SLIDING} & set(settings):
        ropes = {
            name: rope(settings.get(name) or {}, f"{place}.{name}") for name in (FULL, SLIDING)
        }
    else:
        # Only Olmo 3's blocks are trained with different frequencies: scaled where they see all.
        plain = {"rope_theta": settings["rope_theta"]} if "rope_theta" in settings else {}
        mixed = family.sliding == "three_of_four"
        ropes = {FULL: rope(given, place), SLIDING: rope(plain if mixed else given, place)}
    return ropes | {SLIDING: ropes[FULL]} if rope_variant == "all_layers" else ropes
