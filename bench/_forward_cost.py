"""How fast a device multiplies matrices of a decoder's sizes: the floor of a forward pass."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bench._timing import take_turns
from extract.decoder.spec import DecoderSpec

_AT_ONCE = 2
"""Products that are in flight together on an accelerator, so that starting them costs nothing."""

_PUBLISHED = {
    ("H200", "bfloat16"): "989 TFLOP/s dense (NVIDIA); this project's design counts on 790 of them"
}


def published(device_kind: str, dtype: str) -> str | None:
    """The maker's figure for this device and dtype, where it is known here."""
    found = (text for (kind, of), text in _PUBLISHED.items() if kind in device_kind and of == dtype)
    return next(found, None)


def products(spec: DecoderSpec, tokens: int) -> dict[str, tuple[int, int, int]]:
    """(tokens, in, out) of a block's large projections."""
    return {
        "q_proj": (tokens, spec.hidden_dim, spec.num_heads * spec.head_dim),
        "up_proj": (tokens, spec.hidden_dim, spec.mlp_dim),
        "down_proj": (tokens, spec.mlp_dim, spec.hidden_dim),
    }


def matmul_rates(
    spec: DecoderSpec, tokens: int, dtype: DTypeLike, device: jax.Device
) -> dict[str, float]:
    """TFLOP/s of each of `products`, multiplied alone by XLA."""
    at_once = 1 if device.platform == "cpu" else _AT_ONCE
    sizes = products(spec, tokens)
    with jax.default_device(device):
        tasks = {name: _product(size, dtype, at_once) for name, size in sizes.items()}
        _, timings = take_turns(tasks, 7)
    return {
        name: round(2 * at_once * n * inputs * outputs / timings[name].min / 1e12, 4)
        for name, (n, inputs, outputs) in sizes.items()
    }


def _product(
    size: tuple[int, int, int], dtype: DTypeLike, at_once: int
) -> Callable[[], list[Array]]:
    n, inputs, outputs = size
    x, weight = jnp.ones((n, inputs), dtype), jnp.ones((outputs, inputs), dtype)
    precision = "highest" if dtype == jnp.float32 else "default"

    def multiply(x: Array, weight: Array) -> Array:
        return jax.lax.dot_general(x, weight, (((1,), (1,)), ((), ())), precision=precision)

    compiled = jax.jit(multiply)
    return lambda: [compiled(x, weight) for _ in range(at_once)]
