"""Filling a decoder from a checkpoint: by name, one tensor at a time, straight to its devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from extract.decoder.errors import WeightsMismatchError
from extract.decoder.modules import Decoder, Turned
from extract.decoder.placement import Placement
from extract.decoder.spec import DecoderSpec
from extract.weights import TensorSource

_PREFIX, _BLOCKS = "model.", "layers."
_UNUSED = ("lm_head.", "rotary_emb.inv_freq")
"""Tensors that hidden states do not need: logits' weights, and frequencies some old files keep."""

_SHOWN, _LONGEST = 5, 150


def load_decoder(
    spec: DecoderSpec,
    source: TensorSource,
    *,
    blocks: int,
    norm: bool,
    dtype: DTypeLike,
    placement: Placement,
) -> Decoder:
    """The decoder with the checkpoint's weights.

    Beside the model at most one tensor is in memory. Blocks above `blocks` and an unwanted norm
    are checked by name and shape and not read.

    Args:
        spec: What the config describes.
        source: The checkpoint's tensors.
        blocks: How many blocks to load.
        norm: Whether to load the final norm.
        dtype: float32 or bfloat16; weights are rounded to it once.
        placement: The devices.

    Raises `WeightsMismatchError`, or what reading a tensor raises.
    """
    check_tensors(spec, source)
    graph, state = nnx.split(nnx.eval_shape(lambda: _empty(spec, dtype, blocks, norm)))
    prefix = _prefix(source)

    def placed(name: str, *, turn: bool) -> jax.Array:
        tensor = source.read(prefix + name)
        # To the device in the stored dtype and cast there: the host casts bfloat16 slowly.
        value = _as_used(
            jax.device_put(tensor, placement.weight(name, tensor.shape)), jnp.dtype(dtype), turn
        )
        # The tensor may go only when the device has it, and must before the next is read.
        ready: jax.Array = jax.block_until_ready(value)
        return ready

    filled = {
        path: variable.replace(placed(_name(path), turn=isinstance(variable, Turned)))
        for path, variable in nnx.to_flat_state(state)
    }
    return nnx.merge(graph, nnx.from_flat_state(filled))


def copy_decoder(decoder: Decoder, placement: Placement) -> Decoder:
    """The decoder on other devices, as many as it is on, without reading the checkpoint again."""
    graph, state = nnx.split(decoder)
    moved = {
        path: variable.replace(placement.moved(variable[...]))
        for path, variable in nnx.to_flat_state(state)
    }
    return nnx.merge(graph, jax.block_until_ready(nnx.from_flat_state(moved)))


def check_tensors(spec: DecoderSpec, source: TensorSource, where: str = "config.json") -> None:
    """Raise `WeightsMismatchError` unless names and shapes are those that the config implies.

    Reads no weight. `where` names the config in the message.
    """
    _check(spec, source, where)


def _empty(spec: DecoderSpec, dtype: DTypeLike, blocks: int, norm: bool) -> Decoder:
    return Decoder(spec, dtype, blocks=blocks, norm=norm)


@jax.jit(static_argnums=(1, 2))
def _as_used(value: jax.Array, dtype: jnp.dtype, turn: bool) -> jax.Array:
    return (value.T if turn else value).astype(dtype)


def _name(path: tuple[object, ...]) -> str:
    return ".".join(map(str, path))


@lru_cache(maxsize=2)
def _shapes(spec: DecoderSpec) -> Mapping[str, tuple[int, ...]]:
    """Of the tensors as files keep them; asked for before an extraction and as it loads them.

    Every block has those of the first, so one is built: a damaged config may tell of thousands.
    """
    state = nnx.state(nnx.eval_shape(lambda: _empty(spec, jnp.float32, blocks=1, norm=True)))
    shapes = {}
    for path, variable in nnx.to_flat_state(state):
        shape = variable.shape[::-1] if isinstance(variable, Turned) else variable.shape
        name = _name(path)
        for block in range(spec.num_layers if name.startswith(_BLOCKS) else 1):
            shapes[name.replace(f"{_BLOCKS}0.", f"{_BLOCKS}{block}.", 1)] = shape
    return shapes


def _prefix(source: TensorSource) -> str:
    """The bare decoder's files have no "model." before its names."""
    return _PREFIX if any(name.startswith(_PREFIX) for name in source.tensors) else ""


def _check(spec: DecoderSpec, source: TensorSource, where: str) -> None:
    prefix = _prefix(source)
    wanted = {prefix + name: shape for name, shape in _shapes(spec).items()}
    found = {name: info.shape for name, info in source.tensors.items()}
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted and not _is_unused(name)]
    misshapen = [
        f"{name} is {list(found[name])} and not {list(shape)}"
        for name, shape in wanted.items()
        if name in found and tuple(found[name]) != shape
    ]
    faults = (("missing", missing), ("not expected", extra), ("misshapen", misshapen))
    told = [f"{_some(names)} ({what}: {len(names)})" for what, names in faults if names]
    if told:
        raise WeightsMismatchError(
            f"The weights do not fit the config: {'; '.join(told)}. Expected the "
            f"{len(wanted)} tensors that {where} implies; check that both are of one model "
            "and complete."
        )


def _is_unused(name: str) -> bool:
    return any(part in name for part in _UNUSED)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(name[:_LONGEST] for name in listed[:_SHOWN])
    return shown + (", …" if len(listed) > _SHOWN else "")
