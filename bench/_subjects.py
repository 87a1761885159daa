"""The decoders whose speed is measured: a checkpoint's, or a known shape's with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from extract.decoder.families import spec_of
from extract.decoder.load import load_decoder
from extract.decoder.modules import Decoder, Turned
from extract.decoder.placement import Placement
from extract.decoder.spec import DecoderSpec
from extract.weights import open_checkpoint
from spectra.strict_json import JSONObject

SHAPES: Mapping[str, JSONObject] = {
    "tiny": {
        "model_type": "olmo3",
        "vocab_size": 64,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 256,
        "sliding_window": 8,
        "rope_theta": 500000.0,
        "eos_token_id": None,
    },
    "smollm2-135m": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192,
        "rope_theta": 100000.0,
    },
    "qwen3-4b": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 262144,
        "rope_theta": 5e6,
    },
    "olmo3-7b": {
        "model_type": "olmo3",
        "vocab_size": 100278,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 65536,
        "sliding_window": 4096,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 8192,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "attention_factor": 1.2079441541679836,
        },
    },
}
"""What the forward pass needs of these models' config.json, and a tiny one."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A decoder that can be loaded: `load` takes the compute dtype and where the weights go."""

    name: str
    weights: str
    config: JSONObject
    spec: DecoderSpec
    load: Callable[[DTypeLike, Placement], Decoder]


def of_shape(name: str) -> Subject:
    """Random weights in the shape of a known model: nothing is downloaded or read."""
    spec = spec_of(SHAPES[name], name)
    return Subject(name, "random", SHAPES[name], spec, partial(_random_decoder, spec))


def of_model(model: str) -> Subject:
    """A model as an extraction opens it; raises what that raises."""
    checkpoint = open_checkpoint(model)
    spec = spec_of(checkpoint.config, checkpoint.config_where)

    def load(dtype: DTypeLike, placement: Placement) -> Decoder:
        return load_decoder(
            spec,
            checkpoint.tensors,
            blocks=spec.num_layers,
            norm=True,
            dtype=dtype,
            placement=placement,
        )

    stored = sorted({info.stored for info in checkpoint.tensors.tensors.values()})
    weights = f"{checkpoint.provenance['source']}: {', '.join(stored)}"
    return Subject(checkpoint.name, weights, checkpoint.config, spec, load)


def _random_decoder(spec: DecoderSpec, dtype: DTypeLike, placement: Placement) -> Decoder:
    """Weights such that states keep their size, made where they stay, a tensor at a time."""
    graph, state = nnx.split(
        nnx.eval_shape(lambda: Decoder(spec, dtype, blocks=spec.num_layers, norm=True))
    )
    filled: dict[tuple[Any, ...], Any] = {}
    for number, (path, variable) in enumerate(nnx.to_flat_state(state)):
        key = jax.device_put(jax.random.key(number), placement.whole)
        shape, is_norm = variable.shape, "norm" in str(path[-2])
        inputs = None if is_norm else shape[0 if isinstance(variable, Turned) else 1]
        made = _values(key, shape, jnp.dtype(dtype), inputs)
        # One after the other: drawing needs room beside the weights.
        filled[path] = variable.replace(jax.block_until_ready(made))
    return nnx.merge(graph, nnx.from_flat_state(filled))


@jax.jit(static_argnums=(1, 2, 3))
def _values(key: Array, shape: tuple[int, ...], dtype: jnp.dtype, inputs: int | None) -> Array:
    if inputs is None:
        return jnp.ones(shape, dtype)
    return jax.random.normal(key, shape, dtype) * jnp.asarray(inputs**-0.5, dtype)
