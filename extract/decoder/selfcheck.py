"""A check before real work: the chosen attention against the plain one, on this very device.

Fused kernels have been wrong silently, by version and by hardware. A tiny decoder with the model's
own heads runs through both; a mask that is off by one token moves its states by tens of percent.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from extract.decoder.attention.chunked import chunked
from extract.decoder.errors import AttentionCheckError
from extract.decoder.forward import Forward, Tap
from extract.decoder.modules import Attend, Decoder
from extract.decoder.placement import Placement
from extract.decoder.spec import DecoderSpec, LayerKind

_WINDOW = 5
_LENGTH = 150
_HIDDEN = 64
_VOCABULARY = 32

TOLERANCES = {"float32": 1e-4, "bfloat16": 0.025}
"""Largest accepted ‖difference‖ / ‖states‖: well above rounding (1e-6 and 0.009 were measured over
the families' head shapes), below what the subtlest fault moved (scores off by a tenth, 0.033; a
window off by one, 0.1)."""


def check(attend: Attend, spec: DecoderSpec, dtype: DTypeLike, placement: Placement) -> float:
    """The relative difference that was found; raises `AttentionCheckError` where it is too large.

    Args:
        attend: The attention to check.
        spec: The model's; its head dimension, head counts' ratio and numeric flags are kept.
        dtype: What is computed in.
        placement: The devices.
    """
    tiny = _tiny(spec)
    ids = np.random.default_rng(0).integers(_VOCABULARY, size=(2, _LENGTH), dtype=np.int32)
    found = _states(tiny, attend, dtype, placement, ids)
    expected = _states(tiny, chunked, jnp.float32, placement, ids)
    difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    limit = TOLERANCES[jnp.dtype(dtype).name]
    if not difference <= limit:
        name = getattr(attend, "__name__", str(attend))
        raise AttentionCheckError(
            f"The attention {name!r} on {placement.devices[0].device_kind} gives states that "
            f"differ by {difference:.2g} (relative) from the plain float32 ones on a tiny model. "
            f"Expected at most {limit:g}. Update jaxlib and the driver, or use "
            "--compute-dtype float32, which does not use this kernel."
        )
    return difference


def _tiny(spec: DecoderSpec) -> DecoderSpec:
    """Two key heads and three blocks, one of them sliding, with the model's head shape."""
    rope = spec.kinds[0].rope
    full, sliding = LayerKind(None, rope), LayerKind(_WINDOW, rope)
    return replace(
        spec,
        vocab_size=_VOCABULARY,
        hidden_dim=_HIDDEN,
        mlp_dim=_HIDDEN,
        num_heads=2 * spec.num_heads // spec.num_kv_heads,
        num_kv_heads=2,
        kinds=(full, sliding, full),
    )


def _states(
    spec: DecoderSpec,
    attend: Attend,
    dtype: DTypeLike,
    placement: Placement,
    ids: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    graph, state = nnx.split(
        nnx.eval_shape(lambda: Decoder(spec, dtype, blocks=spec.num_layers, norm=False))
    )
    rng = np.random.default_rng(1)
    filled = {}
    for path, variable in nnx.to_flat_state(state):
        values = rng.standard_normal(variable.shape, np.float32)
        if values.ndim == 2 and "embed_tokens" not in path:
            values *= 1 / np.sqrt(variable.shape[0])
        # The same bfloat16 values in either dtype: weights are what the check does not compare.
        rounded = jnp.asarray(values).astype(jnp.bfloat16).astype(dtype)
        filled[path] = variable.replace(jax.device_put(rounded, placement.whole))
    decoder = nnx.merge(graph, nnx.from_flat_state(filled))
    forward = Forward(
        decoder,
        spec,
        taps=[Tap(spec.num_layers)],
        attend=attend,
        placement=placement,
        storage=jnp.float32,
    )
    return np.asarray(forward(ids)[spec.num_layers])
