"""On a GPU or TPU: its attention against the plain one, its states against transformers'."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from extract.decoder.attention import choose, chunked
from extract.decoder.forward import Forward, Tap
from extract.decoder.load import load_decoder
from extract.decoder.placement import Placement
from extract.decoder.selfcheck import TOLERANCES, check
from tests.decoder_cases import CASES, WINDOW, token_ids
from tests.decoder_models import Config, spec_for, tensors

pytestmark = pytest.mark.skipif(jax.default_backend() == "cpu", reason="no accelerator is here")

PLATFORM = jax.default_backend()
HEADS = {"qwen3-4b": (32, 8, 128), "olmo3-7b": (32, 32, 128), "smollm2-135m": (9, 3, 64)}


@pytest.mark.parametrize("shape", HEADS)
@pytest.mark.parametrize("window", [None, 512])
@pytest.mark.parametrize("length", [511, 512, 513, 1536])
def test_the_fused_attention_is_the_plain_one(shape: str, window: int | None, length: int) -> None:
    heads, kv_heads, dim = HEADS[shape]
    rng = np.random.default_rng(0)
    q, k, v = (
        jnp.asarray(rng.standard_normal((2, length, n, dim)), jnp.bfloat16)
        for n in (heads, kv_heads, kv_heads)
    )
    attend = choose(PLATFORM, dim, jnp.bfloat16)
    assert attend is not chunked
    found = jax.jit(attend, static_argnums=3)(q, k, v, window).astype(jnp.float32)
    with jax.default_matmul_precision("highest"):
        wide = (x.astype(jnp.float32) for x in (q, k, v))
        expected = jax.jit(chunked, static_argnums=3)(*wide, window)
    # The first token sees itself alone: the norm of the rest tells a mask that is off.
    error = jnp.linalg.norm(found - expected, axis=-1) / jnp.linalg.norm(expected, axis=-1)
    assert float(error.max()) < TOLERANCES["bfloat16"]


@pytest.mark.parametrize("name", CASES)
def test_the_check_at_the_start_passes(name: str) -> None:
    spec, placement = spec_for(CASES[name]), Placement(jax.devices())
    for dtype in ("float32", "bfloat16"):
        check(choose(PLATFORM, spec.head_dim, dtype), spec, dtype, placement)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_states_are_float32_states_within_its_noise(name: str) -> None:
    ids = token_ids(name, 3 * WINDOW)
    exact = _last(CASES[name], "float32", jax.devices("cpu")[:1], ids)
    assert _distance(_last(CASES[name], "float32", jax.devices(), ids), exact) < 1e-5
    assert _distance(_last(CASES[name], "bfloat16", jax.devices(), ids), exact) < 0.04


def _last(
    config: Config, dtype: str, devices: list[jax.Device], ids: NDArray[np.int32]
) -> NDArray[np.float32]:
    spec, placement = spec_for(config), Placement(devices)
    decoder = load_decoder(
        spec, tensors(config), blocks=spec.num_layers, norm=False, dtype=dtype, placement=placement
    )
    forward = Forward(
        decoder,
        spec,
        taps=[Tap(spec.num_layers)],
        attend=choose(devices[0].platform, spec.head_dim, dtype),
        placement=placement,
        storage=jnp.float32,
    )
    return np.asarray(forward(ids)[spec.num_layers])


def _distance(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
