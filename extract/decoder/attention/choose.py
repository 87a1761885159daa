"""Which attention runs where."""

from __future__ import annotations

import jax.numpy as jnp
from jax.typing import DTypeLike

from extract.decoder.attention.chunked import chunked, wide
from extract.decoder.attention.cudnn import MAX_HEAD_DIM, cudnn
from extract.decoder.attention.splash import splash
from extract.decoder.modules import Attend


def choose(platform: str, head_dim: int, dtype: DTypeLike) -> Attend:
    """The fastest exact attention for a device.

    Args:
        platform: "cpu", "gpu" or "tpu".
        head_dim: dimensions of a head.
        dtype: what is computed in; the fused kernels are for bfloat16.
    """
    if platform == "cpu":
        return chunked
    if jnp.dtype(dtype) != jnp.bfloat16:
        return wide
    if platform == "tpu":
        return splash
    return cudnn if head_dim <= MAX_HEAD_DIM and head_dim % 8 == 0 else wide
