"""The decoder's parts as Flax NNX modules.

Attribute names are those of the tensors in Hugging Face files, so a checkpoint fills the modules by
name. Shapes: B sequences, T tokens, d = hidden_dim.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from extract.decoder.spec import DecoderSpec

Attend = Callable[[Array, Array, Array, int | None], Array]
"""Causal attention: queries [B, T, H, D], keys and values [B, T, K, D], window -> [B, T, H, D]."""

Tables = tuple[Array, Array]
"""Cosines and sines of the rotary embedding, each [T, head_dim / 2]."""


class Turned(nnx.Param[Array]):
    """A weight that files keep transposed."""


class Linear(nnx.Module):
    """x W + b, with W [in, out]: a CPU multiplies by it a tenth faster than by files' [out, in]."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, dtype: DTypeLike) -> None:
        self.weight = Turned(jnp.zeros((inputs, outputs), dtype))
        self.bias = nnx.Param(jnp.zeros((outputs,), dtype)) if bias else None

    def __call__(self, x: Array) -> Array:
        """[..., in] to [..., out]."""
        y = jnp.matmul(x, self.weight[...])
        return y if self.bias is None else y + jnp.broadcast_to(self.bias[...], y.shape)


class Norm(nnx.Module):
    """RMSNorm over the last axis, x / sqrt(mean(x²) + eps) in float32, times a weight."""

    def __init__(self, dim: int, spec: DecoderSpec, dtype: DTypeLike) -> None:
        self.weight = nnx.Param(jnp.ones((dim,), dtype))
        self._eps = spec.norm_eps
        self._weight_float32 = spec.norm_weight_float32

    def __call__(self, x: Array) -> Array:
        """[..., dim] to the same."""
        wide = x.astype(jnp.float32)
        normed = wide * jax.lax.rsqrt(jnp.mean(wide * wide, -1, keepdims=True) + self._eps)
        weight = jnp.broadcast_to(self.weight[...], x.shape)
        if self._weight_float32:
            return (weight.astype(jnp.float32) * normed).astype(x.dtype)
        return weight * normed.astype(x.dtype)


class Attention(nnx.Module):
    """Multi-head attention, grouped where there are fewer key and value heads than query heads."""

    def __init__(self, spec: DecoderSpec, dtype: DTypeLike) -> None:
        self._head_dim = spec.head_dim
        self._qk_norm = spec.qk_norm
        self._rope_float32 = spec.rope_float32
        queries, keys = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
        self.q_proj = Linear(spec.hidden_dim, queries, bias=spec.qkv_bias, dtype=dtype)
        self.k_proj = Linear(spec.hidden_dim, keys, bias=spec.qkv_bias, dtype=dtype)
        self.v_proj = Linear(spec.hidden_dim, keys, bias=spec.qkv_bias, dtype=dtype)
        self.o_proj = Linear(queries, spec.hidden_dim, bias=spec.output_bias, dtype=dtype)
        if spec.qk_norm != "none":
            head = spec.qk_norm == "head"
            self.q_norm = Norm(spec.head_dim if head else queries, spec, dtype)
            self.k_norm = Norm(spec.head_dim if head else keys, spec, dtype)

    def __call__(self, x: Array, tables: Tables, attend: Attend, window: int | None) -> Array:
        """[B, T, d] to the same."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self._qk_norm == "projection":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (y.reshape(*y.shape[:2], -1, self._head_dim) for y in (q, k, v))
        if self._qk_norm == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        y = attend(self._turn(q, tables), self._turn(k, tables), v, window)
        return self.o_proj(y.reshape(*y.shape[:2], -1))

    def _turn(self, x: Array, tables: Tables) -> Array:
        """Rotate the dimension pairs (i, i + D/2) of [B, T, heads, D] by the tables' angles."""
        dtype = jnp.float32 if self._rope_float32 else x.dtype
        cos, sin = (table.astype(dtype)[None, :, None, :] for table in tables)
        first, second = jnp.split(x.astype(dtype), 2, axis=-1)
        turned = (first * cos - second * sin, second * cos + first * sin)
        return jnp.concatenate(turned, axis=-1).astype(x.dtype)


class Mlp(nnx.Module):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, spec: DecoderSpec, dtype: DTypeLike) -> None:
        narrow, wide, bias = spec.hidden_dim, spec.mlp_dim, spec.mlp_bias
        self.gate_proj = Linear(narrow, wide, bias=bias, dtype=dtype)
        self.up_proj = Linear(narrow, wide, bias=bias, dtype=dtype)
        self.down_proj = Linear(wide, narrow, bias=bias, dtype=dtype)

    def __call__(self, x: Array) -> Array:
        """[B, T, d] to the same."""
        return self.down_proj(jax.nn.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nnx.Module):
    """One layer: attention and MLP, each added to the residual stream."""

    def __init__(self, spec: DecoderSpec, dtype: DTypeLike) -> None:
        self._norms_after = spec.norm_placement == "after"
        self.self_attn = Attention(spec, dtype)
        self.mlp = Mlp(spec, dtype)
        self.post_attention_layernorm = Norm(spec.hidden_dim, spec, dtype)
        if self._norms_after:
            self.post_feedforward_layernorm = Norm(spec.hidden_dim, spec, dtype)
        else:
            self.input_layernorm = Norm(spec.hidden_dim, spec, dtype)

    def __call__(self, x: Array, tables: Tables, attend: Attend, window: int | None) -> Array:
        """[B, T, d] to the same."""
        if self._norms_after:
            x = x + self.post_attention_layernorm(self.self_attn(x, tables, attend, window))
            return x + self.post_feedforward_layernorm(self.mlp(x))
        x = x + self.self_attn(self.input_layernorm(x), tables, attend, window)
        return x + self.mlp(self.post_attention_layernorm(x))


class Embedding(nnx.Module):
    """A row of the table [vocab_size, d] for each token."""

    def __init__(self, spec: DecoderSpec, dtype: DTypeLike) -> None:
        self.weight = nnx.Param(jnp.zeros((spec.vocab_size, spec.hidden_dim), dtype))

    def __call__(self, token_ids: Array) -> Array:
        """[B, T] to [B, T, d]."""
        return self.weight[...][token_ids]


class Decoder(nnx.Module):
    """Embedding, `blocks` of the spec's layers, and the final norm; no logits.

    Without the blocks above the highest layer that is wanted, and without the final norm where
    that is not.
    """

    def __init__(self, spec: DecoderSpec, dtype: DTypeLike, *, blocks: int, norm: bool) -> None:
        self.embed_tokens = Embedding(spec, dtype)
        self.layers = nnx.List([Block(spec, dtype) for _ in range(blocks)])
        self.norm = Norm(spec.hidden_dim, spec, dtype) if norm else None
        self.dtype = jnp.dtype(dtype)
