"""Exact attention in tiles: the plain path, and the truth that others are checked against.

A chunk of queries meets one tile of keys after the other, and only tiles of which it sees some:
neither the causal nor the window's empty half is computed. The softmax is taken on the way (Milakov
and Gimelshein 2018, Online normalizer calculation for softmax, algorithm 3), so a tile's scores are
all the scores there are: they stay in a core's caches, and memory grows with the length only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

CHUNK = 128
"""Queries, and keys, that are handled together, at most."""

WIDE_CHUNK = 512
"""The same for `wide`."""

_Softmax = tuple[Array, Array, Array]
"""Of the keys so far, by query: the largest q·k, the sum of the weights exp((q·k - largest) / √D),
and the values' sum with these weights, float32 [Q], [Q], [Q, D]."""


_Head = tuple[Array, Array, Array]
"""A key head's queries [N, G, C, D], keys and values [N, 1, C, D], in N chunks of C."""


def chunked(q: Array, k: Array, v: Array, window: int | None) -> Array:
    """softmax(q kᵀ / √D, over keys j with i - window < j ≤ i) v, softmax in float32.

    Args:
        q: queries, [B, T, H, D].
        k: keys, [B, T, K, D]; query head h reads key head h // (H / K).
        v: values, [B, T, K, D].
        window: keys that a query sees, itself included; None: all before it.

    Returns:
        [B, T, H, D] of q's dtype.
    """
    return _chunked(q, k, v, window, CHUNK, jax.lax.map)


def wide(q: Array, k: Array, v: Array, window: int | None) -> Array:
    """As `chunked`, all key heads at once and larger tiles: for a device of thousands of cores."""
    return _chunked(q, k, v, window, WIDE_CHUNK, lambda row, heads: jax.vmap(row)(heads))


def _chunked(
    q: Array,
    k: Array,
    v: Array,
    window: int | None,
    most: int,
    over_heads: Callable[[Callable[[_Head], Array], _Head], Array],
) -> Array:
    batch, length, heads, dim = q.shape
    kv_heads = k.shape[2]
    count = -(-length // most)
    chunk = -(-length // count)
    # Padded at the end, where only queries that are padding too see it.
    padding = ((0, 0), (0, count * chunk - length), (0, 0), (0, 0))

    def tiles(x: Array) -> Array:
        """[B, T, heads, D] -> [B · K, chunks, heads / K, chunk, D]."""
        x = jnp.pad(x, padding).reshape(batch, count, chunk, kv_heads, -1, dim)
        return x.transpose(0, 3, 1, 4, 2, 5).reshape(batch * kv_heads, count, -1, chunk, dim)

    y = over_heads(partial(_one_key_head, window=window), (tiles(q), tiles(k), tiles(v)))
    y = y.reshape(batch, kv_heads, count, heads // kv_heads, chunk, dim)
    y = y.transpose(0, 2, 4, 1, 3, 5).reshape(batch, count * chunk, heads, dim)
    return y[:, :length]


def _one_key_head(head: _Head, *, window: int | None) -> Array:
    """[N, G, C, D]."""
    queries, keys, values = head
    count, _, chunk, dim = queries.shape

    def attend(place: Array) -> Array:
        q = _chunk(queries, place).reshape(-1, dim)

        def meet(tile: Array, seen: _Softmax, *, mask: bool) -> _Softmax:
            k, v = _chunk(keys, tile)[0], _chunk(values, tile)[0]
            products = jax.lax.dot_general(
                q, k, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
            )
            if mask:
                products = _masked(products, chunk, (place - tile) * chunk, window)
            return _with(seen, products, v)

        # Its own tile comes first: every query sees itself, and the largest product is finite.
        seen = meet(place, _nothing(q), mask=True)
        begin = jnp.zeros_like(place)
        if window is not None:
            # The window's edge runs through two tiles at most.
            first = jnp.maximum(0, (place * chunk - window + 1) // chunk)
            begin = jnp.minimum(first + 2, place)
            seen = jax.lax.fori_loop(first, begin, partial(meet, mask=True), seen)
        _, total, summed = jax.lax.fori_loop(begin, place, partial(meet, mask=False), seen)
        y: Array = (summed / total[:, None]).astype(q.dtype)
        return y.reshape(queries.shape[1:])

    y: Array = jax.lax.map(attend, jnp.arange(count))
    return y


def _chunk(x: Array, place: Array) -> Array:
    chunk: Array = jax.lax.dynamic_index_in_dim(x, place, keepdims=False)
    return chunk


def _nothing(q: Array) -> _Softmax:
    zeros = jnp.zeros(q.shape, jnp.float32)
    return jnp.full(len(q), -jnp.inf, jnp.float32), zeros[:, 0], zeros


def _masked(products: Array, chunk: int, apart: Array, window: int | None) -> Array:
    """-inf where the query, `apart` positions after the tile's begin on, does not see the key."""
    by_head = products.reshape(-1, chunk, products.shape[1])
    query = jax.lax.broadcasted_iota(jnp.int32, by_head.shape, 1) + apart
    key = jax.lax.broadcasted_iota(jnp.int32, by_head.shape, 2)
    seen = key <= query
    if window is not None:
        seen &= key > query - window
    return jnp.where(seen, by_head, -jnp.inf).reshape(products.shape)


def _with(seen: _Softmax, products: Array, v: Array) -> _Softmax:
    """The softmax so far with another tile's q·k [Q, C] and values [C, D]."""
    largest, total, summed = seen
    scale = np.float32(v.shape[1] ** -0.5)
    larger = jnp.maximum(largest, products.max(axis=-1))
    shrink = jnp.exp((largest - larger) * scale)
    weights = jnp.exp((products - larger[:, None]) * scale)
    values = jnp.matmul(weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
    return larger, total * shrink + weights.sum(axis=-1), summed * shrink[:, None] + values
