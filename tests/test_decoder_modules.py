"""Where each family rounds when it computes in bfloat16, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax import Array
from numpy.typing import NDArray

from extract.decoder.modules import Attention, Norm
from extract.decoder.rope import tables
from tests.decoder_cases import CASES
from tests.decoder_models import spec_for

DIM, LENGTH = 8, 20
SPECS = {
    name: replace(
        spec_for(CASES[f"{name}-v4"]),
        hidden_dim=DIM,
        num_heads=1,
        num_kv_heads=1,
        head_dim=DIM,
        qk_norm="none",
    )
    for name in ("llama", "olmo2")
}


def rounded(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(ml_dtypes.bfloat16)


def draw(*shape: int) -> NDArray[Any]:
    return rounded(np.random.default_rng(0).standard_normal(shape))


@pytest.mark.parametrize("family", SPECS)
def test_norm(family: str) -> None:
    """Llama's weight multiplies what is rounded already, Olmo's what is not yet."""
    x, weight = draw(LENGTH, DIM), rounded(1 + 0.3 * draw(DIM).astype(np.float64))
    norm = Norm(DIM, SPECS[family], jnp.bfloat16)
    norm.weight[...] = jnp.asarray(weight)
    wide = x.astype(np.float64)
    normed = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + SPECS[family].norm_eps)
    twice = weight * rounded(normed)
    once = rounded(weight.astype(np.float64) * normed)
    assert not np.array_equal(once, twice)
    found = np.asarray(norm(jnp.asarray(x)))
    assert found.tobytes() == (twice if family == "llama" else once).tobytes()


@pytest.mark.parametrize("family", SPECS)
def test_rotation(family: str) -> None:
    """Llama turns in bfloat16, Olmo in float32."""
    spec = SPECS[family]
    attention = Attention(spec, jnp.bfloat16)
    attention.q_proj.weight[...] = jnp.eye(DIM, dtype=jnp.bfloat16)
    queries: list[Array] = []

    def attend(q: Array, k: Array, v: Array, window: int | None) -> Array:
        queries.append(q)
        return v

    x = draw(LENGTH, DIM)
    cos, sin = (table.copy() for table in tables(spec.kinds[0].rope, LENGTH))
    attention(jnp.asarray(x[None]), (jnp.asarray(cos), jnp.asarray(sin)), attend, None)
    dtype = ml_dtypes.bfloat16 if family == "llama" else np.float32
    first, second = np.split(x.astype(dtype), 2, axis=1)
    cos, sin = cos.astype(dtype), sin.astype(dtype)
    expected = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=1)
    assert np.asarray(queries[0])[0, :, 0].tobytes() == rounded(expected).tobytes()
