"""Attention against a softmax that can be checked by eye, each fast path against the plain one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.typing import DTypeLike
from numpy.typing import NDArray

from extract.decoder.attention import choose, chunked
from extract.decoder.attention.chunked import wide
from extract.decoder.attention.cudnn import cudnn
from extract.decoder.attention.splash import splash
from extract.decoder.modules import Attend
from tests.decoder_models import Floats

CHUNK = 4


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[chunked.__module__], "CHUNK", CHUNK)


def inputs(
    length: int, kv_heads: int = 2, groups: int = 1, dim: int = 4, batch: int = 2, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng([seed, length, kv_heads, groups, dim, batch])

    def draw(heads: int) -> Floats:
        return rng.standard_normal((batch, length, heads, dim), np.float32)

    return draw(kv_heads * groups), draw(kv_heads), draw(kv_heads)


def naive(
    q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], window: int | None
) -> NDArray[np.float64]:
    """One query and head at a time, in float64."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    out = np.zeros(q.shape)
    groups = q.shape[2] // k.shape[2]
    for b, i, h in np.ndindex(q.shape[:3]):
        first = 0 if window is None else max(0, i - window + 1)
        keys, values = k[b, first : i + 1, h // groups], v[b, first : i + 1, h // groups]
        weights = np.exp(keys @ q[b, i, h] / np.sqrt(q.shape[3]))
        out[b, i, h] = weights / weights.sum() @ values
    return out


def apply(attend: Attend, arrays: Any, window: int | None) -> NDArray[Any]:
    q, k, v = map(jnp.asarray, arrays)
    return np.asarray(jax.jit(lambda q, k, v: attend(q, k, v, window))(q, k, v))


BORDERS = [1, CHUNK, CHUNK + 1, 2 * CHUNK + 1]


@pytest.mark.parametrize("window", [None, 1, 3, CHUNK, CHUNK + 1, 20])
@pytest.mark.usefixtures("small_chunks")
def test_chunk_borders(window: int | None) -> None:
    arrays = inputs(max(BORDERS), groups=3)
    expected = naive(*arrays, window)
    for length in BORDERS if window is None else BORDERS[-1:]:
        found = apply(chunked, [x[:, :length] for x in arrays], window)
        assert np.abs(found - expected[:, :length]).max() <= 1e-6


@settings(max_examples=16)
@given(
    length=st.integers(1, 40),
    window=st.none() | st.integers(1, 42),
    kv_heads=st.integers(1, 3),
    groups=st.integers(1, 3),
    chunk=st.integers(1, 9),
    attend=st.sampled_from([chunked, wide]),
)
def test_any_shape(
    length: int, window: int | None, kv_heads: int, groups: int, chunk: int, attend: Attend
) -> None:
    arrays = inputs(length, kv_heads, groups, dim=2, batch=1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CHUNK", "WIDE_CHUNK"):
            patch.setattr(sys.modules[chunked.__module__], name, chunk)
        found = apply(attend, arrays, window)
    assert np.abs(found - naive(*arrays, window)).max() <= 1e-6


def test_the_real_chunks() -> None:
    arrays = inputs(300, kv_heads=1, groups=2, batch=1)
    for window in (None, 100):
        found = apply(chunked, arrays, window)
        assert np.abs(found - naive(*arrays, window)).max() <= 1e-6


@pytest.mark.usefixtures("small_chunks")
def test_bfloat16() -> None:
    q, k, v = (x.astype(ml_dtypes.bfloat16) for x in inputs(9, groups=2, dim=16))
    found = apply(chunked, (q, k, v), 5)
    assert found.dtype == ml_dtypes.bfloat16
    expected = naive(q, k, v, 5)
    # The weights and the result are rounded, each by half a unit in the last of 8 places.
    assert np.abs(found.astype(np.float64) - expected).max() <= 2 * 2.0**-9 * np.abs(v).max()


@pytest.mark.usefixtures("small_chunks")
def test_large_scores_do_not_overflow() -> None:
    q, k, v = inputs(9)
    found = apply(chunked, (1e3 * q, 1e3 * k, v), None)
    assert np.isfinite(found).all()
    assert np.abs(found[:, 0] - v[:, 0]).max() <= 1e-6


# ---- the fused kernels ------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "window", "dim"), [(150, None, 16), (600, 130, 64)])
def test_splash_in_the_interpreter(length: int, window: int | None, dim: int) -> None:
    arrays = inputs(length, kv_heads=1, groups=2, dim=dim, batch=1)
    found = apply(partial(splash, interpret=True), arrays, window)
    assert np.abs(found - apply(chunked, arrays, window)).max() <= 2e-6


def test_splash_in_bfloat16() -> None:
    q, k, v = (x.astype(ml_dtypes.bfloat16) for x in inputs(20, dim=16, batch=1))
    found = apply(partial(splash, interpret=True), (q, k, v), 7)
    assert found.dtype == ml_dtypes.bfloat16
    assert np.abs(found.astype(np.float64) - naive(q, k, v, 7)).max() <= 0.02


@pytest.mark.parametrize("window", [None, 3])
def test_what_cudnn_is_asked_for(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call, served by XLA where there is no such device."""
    original = jax.nn.dot_product_attention
    asked = []

    def serve(*args: Any, implementation: str, **options: Any) -> Any:
        asked.append(implementation)
        return original(*args, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", serve)
    arrays = inputs(9, groups=2)
    assert np.abs(apply(cudnn, arrays, window) - naive(*arrays, window)).max() <= 1e-6
    assert asked == ["cudnn"]


@pytest.mark.parametrize(
    ("platform", "head_dim", "dtype", "expected"),
    [
        ("cpu", 64, jnp.float32, chunked),
        ("cpu", 64, jnp.bfloat16, chunked),
        ("gpu", 64, jnp.float32, wide),
        ("gpu", 64, jnp.bfloat16, cudnn),
        ("gpu", 128, jnp.bfloat16, cudnn),
        ("gpu", 136, jnp.bfloat16, wide),
        ("gpu", 100, jnp.bfloat16, wide),
        ("tpu", 128, jnp.bfloat16, splash),
        ("tpu", 128, jnp.float32, wide),
    ],
)
def test_choice(
    platform: str, head_dim: int, dtype: DTypeLike, expected: Callable[..., Any]
) -> None:
    assert choose(platform, head_dim, dtype) is expected
