"""From config.json to a decoder: what each field does, and every config that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from extract.decoder.errors import UnsupportedModelError
from extract.decoder.families import FAMILIES
from extract.decoder.spec import DecoderSpec
from spectra import errors
from tests.decoder_cases import ALL_LAYERS, CASES, WINDOW
from tests.decoder_models import spec_for

SLIDING, FULL = "sliding_attention", "full_attention"


def windows(config: dict[str, Any]) -> list[int | None]:
    return [kind.window for kind in spec_for(config).kinds]


def test_every_family_has_cases() -> None:
    assert {str(config["model_type"]) for config in CASES.values()} == set(FAMILIES)


def test_sizes() -> None:
    spec = spec_for(CASES["qwen3-v4"])
    assert (spec.family, spec.vocab_size, spec.hidden_dim, spec.mlp_dim) == ("qwen3", 61, 32, 48)
    assert (spec.num_heads, spec.num_kv_heads, spec.head_dim, spec.num_layers) == (4, 2, 16, 4)
    assert spec.norm_eps == 1e-6
    # Of a token's way through two blocks: q and o, k and v, and three maps of the MLP.
    assert spec.parameters_read(2) == 2 * 32 * (2 * 64 + 2 * 32 + 3 * 48)


def test_what_families_fix() -> None:
    qwen2, qwen3, olmo = (spec_for(CASES[f"{name}-v4"]) for name in ("qwen2", "qwen3", "olmo2"))
    assert (qwen2.qkv_bias, qwen2.output_bias, qwen2.qk_norm) == (True, False, "none")
    assert (qwen3.qkv_bias, qwen3.output_bias, qwen3.qk_norm) == (False, False, "head")
    assert (olmo.norm_placement, olmo.qk_norm) == ("after", "projection")
    assert (olmo.norm_weight_float32, olmo.rope_float32) == (True, True)
    assert (qwen3.norm_weight_float32, qwen3.rope_float32) == (False, False)


def test_biases_of_the_config() -> None:
    biased = spec_for(CASES["llama-v4-biases-tied"])
    assert (biased.qkv_bias, biased.output_bias, biased.mlp_bias) == (True, True, True)
    assert not spec_for(CASES["qwen3-v5-tied"] | {"mlp_bias": True}).mlp_bias
    assert spec_for(CASES["qwen3-v5-tied"]).output_bias


def test_what_may_be_absent() -> None:
    small = {"num_key_value_heads": None, "head_dim": None}
    spec = spec_for(CASES["llama-v4"] | small)
    assert (spec.num_kv_heads, spec.head_dim) == (4, 8)
    assert spec_for(CASES["qwen3-v4"] | small).head_dim == 128
    bare = {k: v for k, v in CASES["llama-v4"].items() if k not in {"hidden_act", "rope_theta"}}
    assert spec_for(bare) == spec_for(CASES["llama-v4"])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (CASES["llama-v4"] | {"sliding_window": WINDOW, "use_sliding_window": True}, [None] * 4),
        (CASES["qwen2-v4"], [None] * 4),
        (CASES["qwen2-v4-sliding"], [None, None, WINDOW, WINDOW]),
        (CASES["qwen2-v4-sliding"] | {"max_window_layers": 0}, [WINDOW] * 4),
        (CASES["qwen2-v4-sliding"] | {"max_window_layers": None}, [None] * 4),
        (
            CASES["qwen2-v4-sliding"] | {"layer_types": [SLIDING, FULL, FULL, FULL]},
            [WINDOW, None, None, None],
        ),
        (CASES["olmo2-v4"], [None] * 4),
        (CASES["olmo3-v4"], [WINDOW, WINDOW, WINDOW, None]),
        (CASES["olmo3-v4"] | {"layer_types": [FULL, SLIDING] * 2}, [None, WINDOW] * 2),
        (CASES["olmo3-v5"], [WINDOW, WINDOW, None]),
    ],
)
def test_windows(config: dict[str, Any], expected: list[int | None]) -> None:
    assert windows(config) == expected


def frequencies(spec: DecoderSpec) -> list[tuple[float, ...]]:
    return [kind.rope.frequencies for kind in spec.kinds]


def test_olmo3_scales_full_attention_alone() -> None:
    plain = spec_for(CASES["olmo3-v4"] | {"rope_scaling": None})
    spec, all_layers = (
        spec_for(CASES["olmo3-v4"], rope_variant=variant)
        for variant in ("per_layer_type", "all_layers")
    )
    assert frequencies(spec)[:3] == frequencies(plain)[:3]
    assert frequencies(spec)[3] != frequencies(plain)[3]
    assert frequencies(all_layers) == [frequencies(spec)[3]] * 4
    assert [kind.rope.scale for kind in spec.kinds] == [1, 1, 1, 1.2079441541679836]
    assert [kind.window for kind in all_layers.kinds] == [WINDOW, WINDOW, WINDOW, None]
    # The same model by three generations of files.
    flat = ALL_LAYERS["olmo3-v5-flat"]["rope_parameters"]
    nested = {FULL: flat, SLIDING: {"rope_type": "default", "rope_theta": 500000.0}}
    assert spec_for(ALL_LAYERS["olmo3-v5-flat"]) == spec
    assert spec_for(ALL_LAYERS["olmo3-v5-flat"] | {"rope_parameters": nested}) == spec


def test_other_families_scale_every_layer() -> None:
    scaled = CASES["qwen2-v4-sliding"] | {"rope_scaling": {"type": "linear", "factor": 2.0}}
    assert len(set(frequencies(spec_for(scaled)))) == 1
    assert frequencies(spec_for(scaled)) != frequencies(spec_for(CASES["qwen2-v4-sliding"]))


def test_variant_changes_nothing_elsewhere() -> None:
    for case, config in CASES.items():
        same = spec_for(config, rope_variant="all_layers") == spec_for(config)
        assert same == (not case.startswith("olmo3"))


def test_where_theta_is_read() -> None:
    expected = frequencies(spec_for(CASES["llama-v4"] | {"rope_theta": 7e5}))
    inside = {"rope_type": "default", "rope_theta": 7e5}
    assert frequencies(spec_for(CASES["llama-v4"] | {"rope_parameters": inside})) == expected
    beside = {"rope_theta": 7e5, "rope_parameters": {"rope_type": "default"}}
    assert frequencies(spec_for(CASES["llama-v4"] | beside)) == expected
    older_wins = {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": inside}
    scaled = frequencies(spec_for(CASES["llama-v4"] | older_wins))
    assert scaled == frequencies(spec_for(CASES["llama-v4-linear"] | older_wins))


# ---- what is refused --------------------------------------------------------------------------


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in CASES["llama-v4"].items() if key != field}


def llama(**fields: Any) -> dict[str, Any]:
    return CASES["llama-v4"] | fields


def olmo3(**fields: Any) -> dict[str, Any]:
    return CASES["olmo3-v4"] | fields


UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    (llama(model_type="gemma2"), "model_type is 'gemma2'. Expected one of llama, qwen2, qwen3"),
    (llama(model_type="\x1b[31m"), r"model_type is '\x1b[31m'"),
    (llama(hidden_act="gelu"), "hidden_act is 'gelu'. Expected \"silu\""),
    (llama(quantization_config={"bits": 4}), "fetch the unquantised model, or a GGUF file"),
    (llama(partial_rotary_factor=0.5), "partial_rotary_factor is 0.5. Expected 1"),
    (
        llama(rope_parameters={"partial_rotary_factor": 0.25}),
        "config.json: rope_parameters: partial_rotary_factor is 0.25",
    ),
    (
        llama(rope_scaling={"type": "dynamic", "factor": 2.0}),
        "config.json: rope_scaling: rope_type is 'dynamic'. Expected one of default, linear, "
        "llama3, yarn; other scalings are not implemented.",
    ),
    (
        olmo3(rope_scaling=None, rope_parameters={SLIDING: {"rope_type": "longrope"}}),
        "rope_parameters.sliding_attention: rope_type is 'longrope'",
    ),
    (llama(rope_parameters={"rope_type": ["yarn"]}), "rope_type is ['yarn']"),
]

IMPOSSIBLE: list[tuple[dict[str, Any], type[errors.InputError], str]] = [
    (without("hidden_size"), errors.MissingFieldError, "config.json has no field 'hidden_size'"),
    (without("rms_norm_eps"), errors.MissingFieldError, "no field 'rms_norm_eps'"),
    (llama(vocab_size=True), errors.FieldTypeError, "vocab_size is true; expected an integer"),
    (llama(num_hidden_layers=0), errors.FieldValueError, "num_hidden_layers is 0"),
    (llama(num_hidden_layers=10**7), errors.FieldValueError, "integer from 1 to 4096"),
    (llama(hidden_size=10**12), errors.FieldValueError, "hidden_size is 1000000000000"),
    (llama(num_key_value_heads=0), errors.FieldValueError, "num_key_value_heads is 0"),
    (llama(head_dim=0), errors.FieldValueError, "head_dim is 0"),
    (
        llama(num_key_value_heads=3),
        errors.FieldValueError,
        "4 query heads over 3 key and value heads, of 8 dimensions. Expected a whole number of",
    ),
    (llama(head_dim=7), errors.FieldValueError, "of 7 dimensions. Expected a whole number"),
    (llama(attention_bias="no"), errors.FieldTypeError, "attention_bias is 'no'; expected true"),
    (llama(rope_theta=1.0), errors.FieldValueError, "rope_theta is 1.0; expected a number above 1"),
    (llama(rope_scaling=[8]), errors.FieldTypeError, "rope_scaling is an array of 1"),
    (
        olmo3(sliding_window=None),
        errors.FieldValueError,
        "3 layers slide but sliding_window is null. Expected the window's width in tokens.",
    ),
    (olmo3(sliding_window=0), errors.FieldValueError, "sliding_window is 0. Expected"),
    (
        CASES["qwen2-v4"] | {"layer_types": [SLIDING] + [FULL] * 3},
        errors.FieldValueError,
        "1 layers slide but sliding_window is 8 and use_sliding_window is not true. Expected",
    ),
    (
        olmo3(layer_types=[FULL] * 3),
        errors.FieldValueError,
        "layer_types has 3 entries. Expected 4 (num_hidden_layers), each 'full_attention' or",
    ),
    (
        olmo3(layer_types=[FULL, FULL, "linear_attention", None]),
        errors.FieldValueError,
        "4 entries, among them 'None', 'linear_attention'. Expected 4",
    ),
]


def refused(config: dict[str, Any], error: type[errors.InputError], text: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        spec_for(config)
    assert type(caught.value) is error
    assert str(caught.value).startswith("config.json")
    assert text in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("config", "text"), UNSUPPORTED)
def test_unsupported(config: dict[str, Any], text: str) -> None:
    refused(config, UnsupportedModelError, text)


@pytest.mark.parametrize(("config", "error", "text"), IMPOSSIBLE)
def test_impossible(config: dict[str, Any], error: type[errors.InputError], text: str) -> None:
    refused(config, error, text)


def scaled(kind: str, **settings: Any) -> dict[str, Any]:
    return llama(rope_scaling={"rope_type": kind, "factor": 8.0, **settings})


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        (llama(rope_scaling={"type": "linear"}), errors.MissingFieldError, "no field 'factor'"),
        (scaled("llama3"), errors.MissingFieldError, "no field 'low_freq_factor'"),
        (
            scaled("llama3", low_freq_factor=4.0, high_freq_factor=4.0),
            errors.FieldValueError,
            "high_freq_factor is 4.0; expected a number above 4",
        ),
        (
            scaled("yarn", factor=-1.0),
            errors.FieldValueError,
            "factor is -1.0; expected a number above 0",
        ),
        (
            scaled("yarn") | {"max_position_embeddings": None},
            errors.MissingFieldError,
            "no field 'original_max_position_embeddings'",
        ),
        (scaled("yarn", beta_fast="32"), errors.FieldTypeError, "beta_fast is '32'; expected a"),
        (scaled("yarn", truncate="yes"), errors.FieldTypeError, "truncate is 'yes'; expected true"),
    ],
)
def test_scalings_that_lack_a_setting(
    config: dict[str, Any], error: type[errors.InputError], text: str
) -> None:
    refused(config, error, text)
