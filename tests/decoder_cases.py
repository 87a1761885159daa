"""Tiny random models of every family: configs as their files have them, weights by a seed.

What transformers computes for them is kept in tests/golden, written by tools/golden_states.py;
where torch is installed the two are also compared live.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spectra.strict_json import JSON

VOCABULARY = 61
WINDOW = 8
LENGTHS = (WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW)

_SIZES: dict[str, JSON] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
_LLAMA3: dict[str, JSON] = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
_YARN: dict[str, JSON] = {
    "factor": 8.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 4096,
}
_SLIDING: list[JSON] = ["sliding_attention", "sliding_attention", "full_attention"]


def _case(model_type: str, **fields: JSON) -> dict[str, JSON]:
    return {**_SIZES, "model_type": model_type, **fields}


CASES: Mapping[str, dict[str, JSON]] = {
    # transformers 4 wrote rope_theta and rope_scaling
    "llama-v4": _case("llama", rope_theta=10000.0, rope_scaling=None),
    "llama-v4-heads": _case("llama", num_key_value_heads=4, head_dim=16, rope_theta=500.0),
    "llama-v4-linear": _case("llama", rope_scaling={"type": "linear", "factor": 4.0}),
    "llama-v4-llama3": _case(
        "llama", rope_theta=500000.0, rope_scaling={"rope_type": "llama3", **_LLAMA3}
    ),
    "llama-v4-biases-tied": _case(
        "llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True
    ),
    "qwen2-v4": _case("qwen2", rope_theta=1e6, use_sliding_window=False, sliding_window=WINDOW),
    "qwen2-v4-sliding": _case(
        "qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2
    ),
    "qwen3-v4": _case(
        "qwen3", head_dim=16, rope_theta=5e6, use_sliding_window=False, sliding_window=WINDOW
    ),
    "olmo2-v4": _case("olmo2", rope_theta=500000.0),
    "olmo3-v4": _case(
        "olmo3",
        rope_theta=500000.0,
        sliding_window=WINDOW,
        rope_scaling={"rope_type": "yarn", "attention_factor": 1.2079441541679836, **_YARN},
    ),
    # transformers 5 writes rope_parameters, flat or one for each layer type
    "llama-v5-yarn-tied": _case(
        "llama",
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, **_YARN},
    ),
    "llama-v5-llama3": _case(
        "llama", rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, **_LLAMA3}
    ),
    "qwen2-v5": _case(
        "qwen2", rope_parameters={"rope_type": "default", "rope_theta": 1e6}, layer_types=None
    ),
    "qwen3-v5-tied": _case(
        "qwen3",
        head_dim=16,
        tie_word_embeddings=True,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5e6},
    ),
    "olmo2-v5": _case(
        "olmo2",
        num_key_value_heads=4,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
    ),
    "olmo3-v5": _case(
        "olmo3",
        num_hidden_layers=3,
        sliding_window=WINDOW,
        layer_types=_SLIDING,
        rope_parameters={
            "full_attention": {"rope_type": "yarn", "rope_theta": 500000.0, **_YARN},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
}

# What transformers 5.0 to 5.12 computed otherwise: YaRN on every layer. They wrote it flat.
ALL_LAYERS: Mapping[str, dict[str, JSON]] = {
    "olmo3-v4": CASES["olmo3-v4"],
    "olmo3-v5-flat": _case(
        "olmo3",
        sliding_window=WINDOW,
        rope_parameters={"rope_type": "yarn", "rope_theta": 500000.0, **_YARN},
    ),
}


def weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A random value for each tensor, whatever the others: states of the order of one."""
    return {name: _random(name, shape, seed) for name, shape in shapes.items()}


def _random(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    if "norm" in name:
        values = 1 + 0.2 * values
    elif name.endswith("bias"):
        values = 0.3 * values
    elif "embed" not in name:
        values /= np.sqrt(shape[-1])
    return values.astype(np.float32)


def token_ids(case: str, length: int = max(LENGTHS)) -> NDArray[np.int32]:
    """Two sequences, int32 [2, length]."""
    rng = np.random.default_rng([1, zlib.crc32(case.encode())])
    return rng.integers(VOCABULARY, size=(2, max(LENGTHS)), dtype=np.int32)[:, :length]
