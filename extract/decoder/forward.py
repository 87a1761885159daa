"""Running a decoder over batches of token ids and keeping the states of chosen layers.

One block is compiled for each shape and layer kind, not the whole model: a block's program runs
once for every layer that has its kind, with that layer's weights. Compiling takes about a second a
shape whatever the depth, and a run stops after the highest layer that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike
from numpy.typing import NDArray

from extract.decoder.compiling import compiler_options
from extract.decoder.modules import Attend, Decoder, Tables
from extract.decoder.placement import Placement
from extract.decoder.rope import tables
from extract.decoder.spec import DecoderSpec, LayerKind, Rope
from extract.heap import trim_heap


@dataclass(frozen=True, slots=True)
class Tap:
    """A layer whose states are kept: 0 is the embeddings, k the residual stream after block k.

    `final_norm` applies the model's final norm to them.
    """

    layer: int
    final_norm: bool = False


class Forward:
    """A decoder with its attention, compiled as shapes come."""

    def __init__(
        self,
        decoder: Decoder,
        spec: DecoderSpec,
        *,
        taps: Sequence[Tap],
        attend: Attend,
        placement: Placement,
        storage: DTypeLike = jnp.bfloat16,
    ) -> None:
        self._spec = spec
        self._taps = {tap.layer: tap for tap in taps}
        self._attend = placement.over_heads(attend, spec.num_kv_heads)
        self._placement = placement
        self._storage = jnp.dtype(storage)
        self._run_block = _compiled_for(placement.platform)
        self._compiled: set[tuple[tuple[int, ...], LayerKind]] = set()
        self._embed = nnx.split(decoder.embed_tokens)
        self._blocks = [nnx.split(block) for block in decoder.layers]
        self._precision = "highest" if decoder.dtype == jnp.float32 else "default"
        self._norm = None if decoder.norm is None else nnx.split(decoder.norm)
        unnormed = decoder.norm is None and any(tap.final_norm for tap in taps)
        if unnormed or max(self._taps, default=0) > len(self._blocks):
            raise ValueError("The decoder was made without a block or the norm that a tap needs.")

    def __call__(
        self, token_ids: NDArray[np.int32], layers: Collection[int] | None = None
    ) -> dict[int, Array]:
        """States [B, T, d] of the storage dtype for each tap's layer, of token ids [B, T].

        With `layers`, of those taps' alone, and no block above the highest is run.

        Sequences are padded on the right, with any token: no state before the padding sees it.
        Returns before the device is done.
        """
        wanted = self._taps.keys() if layers is None else set(layers)
        ids = jax.device_put(token_ids, self._placement.whole)
        turns = self._tables(token_ids.shape[1])
        # Accelerators multiply float32 matrices in fewer bits unless told not to.
        with jax.default_matmul_precision(self._precision):
            x = _apply(*self._embed, ids)
            kept = self._keep(0, x, wanted)
            blocks = self._blocks[: max(wanted, default=0)]
            for number, (kind, block) in enumerate(zip(self._spec.kinds, blocks, strict=False), 1):
                x = self._run_block(*block, x, turns[kind.rope], self._attend, kind.window)
                self._compiled_now(x.shape, kind)
                kept |= self._keep(number, x, wanted)
        return kept

    def _compiled_now(self, shape: tuple[int, ...], kind: LayerKind) -> None:
        """Where the last call compiled, give back what that took: the work needs memory next."""
        if (shape, kind) not in self._compiled:
            self._compiled.add((shape, kind))
            trim_heap()

    def _keep(self, layer: int, x: Array, wanted: Collection[int]) -> dict[int, Array]:
        if layer not in wanted:
            return {}
        if self._taps[layer].final_norm and self._norm is not None:
            x = _apply(*self._norm, x)
        return {layer: _stored(x, self._storage)}

    def _tables(self, length: int) -> Mapping[Rope, Tables]:
        ropes = dict.fromkeys(kind.rope for kind in self._spec.kinds)
        return {
            rope: jax.device_put(_tables(rope, length), self._placement.whole) for rope in ropes
        }


_tables = lru_cache(maxsize=32)(tables)


@jax.jit(static_argnums=0)
def _apply(graph: Any, state: Any, x: Array) -> Array:
    states: Array = nnx.merge(graph, state)(x)
    return states


def _block(
    graph: Any, state: Any, x: Array, turns: Tables, attend: Attend, window: int | None
) -> Array:
    states: Array = nnx.merge(graph, state)(x, turns, attend, window)
    return states


@cache
def _compiled_for(platform: str) -> Callable[..., Array]:
    # What comes in is written over: calls are far ahead of the device, each with its output's room.
    return jax.jit(
        _block,
        static_argnums=(0, 4, 5),
        donate_argnums=2,
        compiler_options=compiler_options(platform),
    )


@jax.jit(static_argnums=1)
def _stored(x: Array, dtype: jnp.dtype) -> Array:
    # A copy where the dtype is the same: the next block writes over x.
    return jnp.array(x, dtype, copy=True)
