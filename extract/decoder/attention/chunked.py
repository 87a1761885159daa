"""Exact attention in query chunks: the plain path, and the truth that others are checked against.

A chunk of queries meets only the keys that it may see, as static slices, so neither the causal nor
the window's empty half is computed, and a chunk's scores are all the scores there are.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

CHUNK = 128
"""Queries that are handled together: on a CPU, one head's scores for them stay in its caches."""

MAX_CHUNKS = 32
"""Longer sequences have larger chunks and not more: each is a piece of the compiled program."""


def chunked(q: Array, k: Array, v: Array, window: int | None) -> Array:
    """softmax(q kᵀ / √D, over keys j with i - window < j ≤ i) v, softmax in float32.

    Key and value heads are taken in turn, so memory grows with the length and not with its square.

    Args:
        q: queries, [B, T, H, D].
        k: keys, [B, T, K, D]; query head h reads key head h // (H / K).
        v: values, [B, T, K, D].
        window: keys that a query sees, itself included; None: all before it.

    Returns:
        [B, T, H, D] of q's dtype.
    """
    batch, length, heads, dim = q.shape
    kv_heads = k.shape[2]
    groups = heads // kv_heads
    queries = q.reshape(batch, length, kv_heads, groups, dim).transpose(0, 2, 3, 1, 4)
    rows = (
        queries.reshape(batch * kv_heads, groups, length, dim),
        k.transpose(0, 2, 1, 3).reshape(batch * kv_heads, length, dim),
        v.transpose(0, 2, 1, 3).reshape(batch * kv_heads, length, dim),
    )
    y: Array = jax.lax.map(lambda row: _head(*row, window=window), rows)
    y = y.reshape(batch, kv_heads, groups, length, dim).transpose(0, 3, 1, 2, 4)
    return y.reshape(batch, length, heads, dim)


def _head(q: Array, k: Array, v: Array, *, window: int | None) -> Array:
    """The queries [G, T, D] of one key head, its keys and values [T, D] -> [G, T, D]."""
    length = q.shape[1]
    step = max(CHUNK, -(-length // MAX_CHUNKS))
    outputs: list[Array] = []
    for start in range(0, length, step):
        stop = min(start + step, length)
        first = 0 if window is None else max(0, start - window + 1)
        # A chunk begins when the one before is done: scores of two never exist together.
        chunk = q[:, start:stop]
        if outputs:
            chunk, outputs[-1] = jax.lax.optimization_barrier((chunk, outputs[-1]))
        outputs.append(_chunk(chunk, k[first:stop], v[first:stop], start, first, window))
    return jnp.concatenate(outputs, axis=1)


def _chunk(q: Array, k: Array, v: Array, start: int, first: int, window: int | None) -> Array:
    """Queries [G, C, D] at positions from `start`, keys and values [S, D] from `first`."""
    groups, count, dim = q.shape
    scores = jax.lax.dot_general(
        q.reshape(groups * count, dim),
        k,
        (((1,), (1,)), ((), ())),
        preferred_element_type=jnp.float32,
    )
    scores = scores.reshape(groups, count, -1) * np.float32(dim**-0.5)
    # By comparison and not from a table: a table of long sequences would fill the program.
    query = start + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
    key = first + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 2)
    seen = key <= query
    if window is not None:
        seen &= key > query - window
    scores = jnp.where(seen, scores, -jnp.inf)
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    # Divided after the product: D values a query and not S.
    products = jnp.matmul(
        weights.astype(v.dtype).reshape(groups * count, -1), v, preferred_element_type=jnp.float32
    )
    return (products.reshape(q.shape) / weights.sum(axis=-1, keepdims=True)).astype(q.dtype)
