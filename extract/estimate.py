"""How long an extraction will take and what memory it needs, before anything is loaded."""

from __future__ import annotations

import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from extract.decoder.cost import flops
from extract.decoder.errors import MemoryLimitError
from extract.inputs import Inputs
from spectra.atomic import free_bytes
from spectra.provenance import available_memory

_ROWS = 512
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an extraction needs.

    `operations` are floating-point ones, `flops_per_second` the rate of one product as just timed,
    `seconds` their ratio; `memory_bytes` on all devices, `weight_bytes` of them weights;
    `free_bytes` on the disk of the output. Each of `copies` of the model is on `tensor_parallel`
    devices.
    """

    operations: int
    flops_per_second: float
    seconds: float
    memory_bytes: int
    weight_bytes: int
    free_bytes: int
    copies: int
    tensor_parallel: int


def estimate(inputs: Inputs) -> Estimate:
    """Counted from the plan, and timed for a moment on the devices."""
    needed, rate = operations(inputs), product_rate(inputs)
    return Estimate(
        operations=needed,
        flops_per_second=rate,
        seconds=needed / rate,
        memory_bytes=memory_bytes(inputs),
        weight_bytes=weight_bytes(inputs),
        free_bytes=free_bytes(inputs.config.out),
        copies=inputs.spread.copies,
        tensor_parallel=inputs.spread.degree,
    )


def operations(inputs: Inputs) -> int:
    """Floating-point operations of all batches, padding included."""
    return sum(flops(inputs.spec, *batch.shape, blocks=inputs.top) for batch in inputs.plan.batches)


def check_memory(inputs: Inputs, needed: int | None = None) -> None:
    """Refuse what does not fit, before anything is loaded; raises `MemoryLimitError`.

    `needed` are the bytes, `memory_bytes` if None.
    """
    room, needed = _room(inputs), memory_bytes(inputs) if needed is None else needed
    if room is None or needed <= room:
        return
    spread = inputs.spread
    given = "--max-memory is" if inputs.config.max_memory else f"free on this {inputs.platform}:"
    several, higher = "", ""
    if len(spread.devices) > 1:
        several = f" on {len(spread.devices)} devices, {spread.degree} for a copy of the model"
        higher = ", a higher --tensor-parallel" if spread.copies > 1 else ""
    raise MemoryLimitError(
        f"{inputs.checkpoint.name} needs about {needed / 1e6:,.0f} MB{several}, "
        f"{weight_bytes(inputs) / 1e6:,.0f} MB of it weights in {inputs.dtype}; {given} "
        f"{room / 1e6:,.0f} MB. Expected room for both: give a lower --max-tokens-per-batch"
        f"{higher}, --compute-dtype bfloat16 or lower layers, end other programs, or say with "
        "--max-memory that there is more."
    )


def _room(inputs: Inputs) -> int | None:
    """Bytes that may be taken, as many on every device; None where one does not tell."""
    if inputs.config.max_memory:
        return inputs.config.max_memory
    if inputs.platform == "cpu":
        return available_memory()
    told = [device.memory_stats() or {} for device in inputs.spread.devices]
    if any(one.get("bytes_limit", 0) <= 0 for one in told):
        return None
    free = [int(one["bytes_limit"]) - int(one.get("bytes_in_use", 0)) for one in told]
    return min(free) * len(free)


def memory_bytes(inputs: Inputs) -> int:
    """What computing takes, and states that wait for the disk.

    On all devices together. Where each has a memory of its own, states may wait in any of them.
    """
    places = 1 if inputs.platform == "cpu" else len(inputs.spread.devices)
    return computing_bytes(inputs) + places * inputs.work.waiting


def computing_bytes(inputs: Inputs) -> int:
    """Weights, and the activations of the batches that compute, on all devices together."""
    spread = inputs.spread
    each = inputs.work.activations_on_one(spread.degree, spread.streams)
    return weight_bytes(inputs) + len(spread.devices) * each


def weight_bytes(inputs: Inputs) -> int:
    """Bytes of the weights that are loaded, on all devices together."""
    spread = inputs.spread
    return len(spread.devices) * inputs.work.weights_on_one(spread.degree)


def product_rate(inputs: Inputs) -> float:
    """Operations a second of the MLP's product on all devices, timed now in the compute dtype."""
    dtype, spec = jnp.dtype(inputs.dtype), inputs.spec
    device = inputs.spread.devices[0]
    x = jax.device_put(np.ones((_ROWS, spec.hidden_dim), np.float32), device).astype(dtype)
    weight = jax.device_put(np.ones((spec.mlp_dim, spec.hidden_dim), np.float32), device)
    multiply = jax.jit(lambda x, w: jax.lax.dot_general(x, w, (((1,), (1,)), ((), ()))))
    weight = weight.astype(dtype)
    multiply(x, weight).block_until_ready()
    times = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        multiply(x, weight).block_until_ready()
        times.append(time.perf_counter() - begin)
    shared = 1 if inputs.platform == "cpu" else len(inputs.spread.devices)
    return shared * 2.0 * _ROWS * spec.hidden_dim * spec.mlp_dim / min(times)
