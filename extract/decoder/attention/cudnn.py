"""cuDNN's fused attention, for bfloat16 on NVIDIA."""

from __future__ import annotations

import jax
from jax import Array

MAX_HEAD_DIM = 128
"""Heads up to this width, in steps of 8, are fused on every generation that has the kernel."""


def cudnn(q: Array, k: Array, v: Array, window: int | None) -> Array:
    """As `chunked`, for bfloat16."""
    # Always causal as well: the window alone, (left, 0), has let queries see the future
    # (jax#39576).
    local = None if window is None else (window - 1, 0)
    return jax.nn.dot_product_attention(
        q, k, v, is_causal=True, local_window_size=local, implementation="cudnn"
    )
