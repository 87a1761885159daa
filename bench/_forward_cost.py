"""What a forward pass costs at least: its matrix products, and how fast a device multiplies."""

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


def flops(spec: DecoderSpec, batch: int, length: int) -> int:
    """Floating point operations of the matrix products of a batch of whole sequences.

    2 for each token and weight, and 4 H D for each query and key that it sees: q·k and the
    weighted sum of v, a multiplication and an addition each.
    """
    weights = 2 * length * spec.parameters_read(spec.num_layers)
    pairs = sum(visible_pairs(length, kind.window) for kind in spec.kinds)
    return batch * (weights + 4 * spec.num_heads * spec.head_dim * pairs)


def visible_pairs(length: int, window: int | None) -> int:
    """Pairs of a query and a key that it sees, itself included, in a sequence."""
    seen = length if window is None else min(window, length)
    return seen * (seen + 1) // 2 + (length - seen) * seen


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
