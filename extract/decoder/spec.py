"""What a decoder is, as data: everything in which the supported families differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NormPlacement = Literal["before", "after"]
"""Where a block's two norms stand: x + f(norm(x)), or x + norm(f(x))."""

QkNorm = Literal["none", "head", "projection"]
"""RMSNorm of queries and keys: none, over each head, or over the whole projection."""


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embedding: dimension pair i of a head turns by position * frequencies[i].

    `frequencies` has head_dim / 2 float32 values in radians a token; cosines and sines are
    multiplied by `scale` (YaRN's attention factor; 1 elsewhere).
    """

    frequencies: tuple[float, ...]
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What one block's attention sees: the last `window` keys (None: all), turned by `rope`."""

    window: int | None
    rope: Rope


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """A decoder-only transformer with RMSNorm, rotary positions and a SiLU-gated MLP.

    Widths: `hidden_dim` of the residual stream, `mlp_dim` inside the MLP, `num_heads` query and
    `num_kv_heads` key and value heads of `head_dim` each. `kinds` has one entry a block.

    The two numeric flags say where the family rounds when it computes in bfloat16:
    `norm_weight_float32` multiplies by the norm's weight before rounding and not after,
    `rope_float32` turns queries and keys in float32.
    """

    family: str
    vocab_size: int
    hidden_dim: int
    mlp_dim: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    norm_placement: NormPlacement
    qk_norm: QkNorm
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    norm_weight_float32: bool
    rope_float32: bool
    kinds: tuple[LayerKind, ...]

    @property
    def num_layers(self) -> int:
        """How many blocks there are."""
        return len(self.kinds)

    def parameters_read(self, top: int) -> int:
        """The weights that computing layer `top` multiplies a token by: no embedding table."""
        heads = self.head_dim * (2 * self.num_heads + 2 * self.num_kv_heads)
        return top * self.hidden_dim * (heads + 3 * self.mlp_dim)
