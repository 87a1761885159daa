"""Decoders of the tiny cases, their weights held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import NDArray

from extract.decoder.attention import chunked
from extract.decoder.families import spec_of
from extract.decoder.forward import Forward, Tap
from extract.decoder.load import load_decoder
from extract.decoder.modules import Attend, Decoder
from extract.decoder.placement import Placement
from extract.decoder.spec import DecoderSpec
from extract.weights import TensorInfo, TensorSource
from tests.decoder_cases import weights

Config = Mapping[str, Any]
Floats = NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]


class Tensors:
    """A `TensorSource` over arrays, which remembers what was read."""

    def __init__(self, values: Mapping[str, NDArray[Any]]) -> None:
        self._values = values
        self.tensors = {
            name: TensorInfo(value.shape, value.dtype, value.dtype.name)
            for name, value in values.items()
        }
        self.reads: list[str] = []

    def read(self, name: str) -> NDArray[Any]:
        self.reads.append(name)
        return self._values[name].copy()


def tensor_shapes(config: Config) -> Shapes:
    """Every tensor of the bare model that transformers would save for a config."""
    dim, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or dim // heads
    after = config["model_type"] in {"olmo2", "olmo3"}
    shapes: Shapes = {"embed_tokens.weight": (config["vocab_size"], dim), "norm.weight": (dim,)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"layers.{layer}."
        second = "post_feedforward_layernorm" if after else "input_layernorm"
        for norm in ("post_attention_layernorm", second):
            shapes[f"{prefix}{norm}.weight"] = (dim,)
        for name, width in (("q", heads * head), ("k", kv_heads * head)):
            if config["model_type"] == "qwen3":
                shapes[f"{prefix}self_attn.{name}_norm.weight"] = (head,)
            elif after:
                shapes[f"{prefix}self_attn.{name}_norm.weight"] = (width,)
        shapes |= _projections(config, prefix, heads * head, kv_heads * head)
    return shapes


def _projections(config: Config, prefix: str, queries: int, keys: int) -> Shapes:
    dim, inner = config["hidden_size"], config["intermediate_size"]
    qwen2, bias = config["model_type"] == "qwen2", bool(config.get("attention_bias"))
    mlp_bias = bool(config.get("mlp_bias"))
    maps = (
        ("self_attn.q_proj", queries, dim, bias or qwen2),
        ("self_attn.k_proj", keys, dim, bias or qwen2),
        ("self_attn.v_proj", keys, dim, bias or qwen2),
        ("self_attn.o_proj", dim, queries, bias and not qwen2),
        ("mlp.gate_proj", inner, dim, mlp_bias),
        ("mlp.up_proj", inner, dim, mlp_bias),
        ("mlp.down_proj", dim, inner, mlp_bias),
    )
    shapes: Shapes = {f"{prefix}{name}.weight": (out, into) for name, out, into, _ in maps}
    return shapes | {f"{prefix}{name}.bias": (out,) for name, out, _, biased in maps if biased}


def tensors(config: Config, *, prefix: str = "model.") -> Tensors:
    """The config's random weights, under a causal model's names."""
    values = weights(tensor_shapes(config))
    return Tensors({prefix + name: value for name, value in values.items()})


def place(devices: int = 1) -> Placement:
    return Placement(jax.devices()[:devices])


def all_taps(spec: DecoderSpec) -> list[Tap]:
    return [Tap(layer) for layer in range(spec.num_layers + 1)]


def load(
    spec: DecoderSpec, source: TensorSource, dtype: DTypeLike = jnp.float32, devices: int = 1
) -> Decoder:
    """The whole model."""
    return load_decoder(
        spec, source, blocks=spec.num_layers, norm=True, dtype=dtype, placement=place(devices)
    )


def forward(
    decoder: Decoder,
    spec: DecoderSpec,
    *,
    taps: Sequence[Tap] | None = None,
    devices: int = 1,
    attend: Attend = chunked,
) -> Forward:
    """Keeps float32 states, by default the raw ones of every layer."""
    return Forward(
        decoder,
        spec,
        taps=all_taps(spec) if taps is None else taps,
        attend=attend,
        placement=place(devices),
        storage=jnp.float32,
    )


def spec_for(config: Config, **options: Any) -> DecoderSpec:
    return spec_of(dict(config), "config.json", **options)


class Model:
    """A model's states by what transformers and the golden file call them."""

    def __init__(self, spec: DecoderSpec, source: TensorSource) -> None:
        decoder = load(spec, source)
        self._raw = forward(decoder, spec)
        self._normed = forward(decoder, spec, taps=[Tap(spec.num_layers, final_norm=True)])

    def states(self, token_ids: NDArray[np.int32]) -> dict[str, Floats]:
        """Raw states [B, T, d] under "0" to "L", the last one after the final norm under "norm"."""
        raw = {str(layer): np.asarray(x) for layer, x in self._raw(token_ids).items()}
        (normed,) = self._normed(token_ids).values()
        return raw | {"norm": np.asarray(normed)}


def differences(found: Mapping[str, Floats], expected: Mapping[str, Floats]) -> Iterator[float]:
    """Largest |found - expected| of each layer that is expected."""
    for layer, values in expected.items():
        assert found[layer].shape == values.shape
        yield float(np.abs(found[layer] - values).max())
