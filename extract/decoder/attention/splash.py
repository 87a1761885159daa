"""Splash attention, JAX's Pallas kernel for TPUs: it computes only blocks that the mask leaves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_LANES = 128
"""Sequences and heads are padded to whole multiples of a TPU register's width."""

_BLOCK = 512


def splash(q: Array, k: Array, v: Array, window: int | None, *, interpret: bool = False) -> Array:
    """As `chunked`; `interpret` runs the kernel's program on any device, slowly, for tests."""
    # Imported here: the module pulls in the TPU kernels' compiler.
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas

    length, heads, dim = q.shape[1:]
    block = min(_BLOCK, _whole(length, _LANES))
    padded = _whole(length, block)
    shape = (padded, padded)
    mask = (
        pallas.CausalMask(shape)
        if window is None
        else pallas.LocalMask(shape, window_size=(window - 1, 0), offset=0)
    )
    kernel = pallas.make_splash_mha(
        pallas.MultiHeadMask([mask] * heads),
        block_sizes=pallas.BlockSizes(block_q=block, block_kv=block),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    # The kernel does not divide by √D, and sees D only after padding.
    scaled = (q.astype(jnp.float32) * np.float32(dim**-0.5)).astype(q.dtype)
    inputs = (_pad(x, padded).transpose(0, 2, 1, 3) for x in (scaled, k, v))
    y: Array = jax.vmap(kernel)(*inputs).transpose(0, 2, 1, 3)
    return y[:, :length, :, :dim].astype(q.dtype)


def _pad(x: Array, length: int) -> Array:
    """[B, T, H, D] to [B, length, H, D'], zeros behind; what follows a token it does not see."""
    return jnp.pad(
        x,
        (
            (0, 0),
            (0, length - x.shape[1]),
            (0, 0),
            (0, _whole(x.shape[3], _LANES) - x.shape[3]),
        ),
    )


def _whole(count: int, unit: int) -> int:
    return -(-count // unit) * unit
