"""How fast a device multiplies matrices of a decoder's sizes: the floor of a forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from bench._timing import take_turns
from extract.decoder.compiling import compiler_options
from extract.decoder.spec import DecoderSpec
from extract.decoder.streams import lanes, side_by_side, streams_on

_PRODUCTS = 4
"""In a timed run, for each stream: in flight together, so that starting them costs nothing."""

_ROUNDS = 15

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


@dataclass(frozen=True, slots=True)
class Products:
    """By projection, a task that multiplies it `each` times."""

    tasks: Mapping[str, Callable[[], Any]]
    each: int


def xla_products(spec: DecoderSpec, tokens: int, dtype: DTypeLike, device: jax.Device) -> Products:
    """By XLA, in as many streams as an extraction has here."""
    streams = streams_on([device])
    with jax.default_device(device):
        tasks = {
            name: _product(size, dtype, device, streams)
            for name, size in products(spec, tokens).items()
        }
    return Products(tasks, _PRODUCTS * streams)


def matmul_rates(
    spec: DecoderSpec, tokens: int, contestants: Mapping[str, Products]
) -> dict[str, dict[str, float]]:
    """TFLOP/s by contestant and projection; they take turns."""
    tasks = {
        (who, name): task
        for who, found in contestants.items()
        for name, task in found.tasks.items()
    }
    _, timings = take_turns(tasks, _ROUNDS)
    sizes = products(spec, tokens)
    return {
        who: {
            name: round(2 * found.each * math.prod(sizes[name]) / timings[who, name].min / 1e12, 4)
            for name in found.tasks
        }
        for who, found in contestants.items()
    }


def _product(
    size: tuple[int, int, int], dtype: DTypeLike, device: jax.Device, streams: int
) -> Callable[[], list[Array]]:
    n, inputs, outputs = size
    x, weight = jnp.ones((n, inputs), dtype), jnp.ones((inputs, outputs), dtype)
    precision = "highest" if dtype == jnp.float32 else "default"
    multiply = jax.jit(
        lambda x, weight: jnp.matmul(x, weight, precision=precision),
        compiler_options=compiler_options(device.platform),
    )

    def run() -> list[Array]:
        copies = lanes([lambda _: multiply(x, weight)], streams)
        found = side_by_side(copies, range(_PRODUCTS * streams))
        return [product for _, product in found]

    return run
