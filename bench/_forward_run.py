"""Runs of one decoder over batches of several shapes: ours, and a peer's in turn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from numpy.typing import NDArray
from rich.console import Console

from bench._peer import Peer, difference
from bench._subjects import Subject
from bench._timing import Timing, figure, take_turns
from extract.decoder import selfcheck
from extract.decoder.attention import choose
from extract.decoder.cost import flops
from extract.decoder.forward import Forward, Tap
from extract.decoder.placement import Placement
from extract.decoder.streams import lanes, side_by_side, streams_on
from spectra.provenance import peak_memory

_BATCHES = 2
"""In a task, for each stream."""

Cell = dict[str, Any]
Ids = NDArray[np.int32]


class Ours:
    """The decoder, loaded, with the attention of its device, checked as an extraction checks it."""

    def __init__(self, subject: Subject, dtype: DTypeLike, placement: Placement) -> None:
        """Raises `AttentionCheckError` and what loading raises."""
        spec = subject.spec
        begin = time.perf_counter()
        self.decoder = jax.block_until_ready(subject.load(dtype, placement))
        self.load_seconds = time.perf_counter() - begin
        self.device = placement.devices[0]
        attend = choose(self.device.platform, spec.head_dim, dtype)
        self.attention = getattr(attend, "__name__", str(attend))
        self.check = selfcheck.check(attend, spec, dtype, placement)
        self.streams = streams_on(placement.devices)
        self._top = spec.num_layers
        self._forward = Forward(
            self.decoder,
            spec,
            taps=[Tap(self._top, final_norm=True)],
            attend=attend,
            placement=placement,
            storage=dtype,
        )

    def __call__(self, batches: Sequence[Ids]) -> list[Array]:
        """The last states of each batch, after the norm, computed as an extraction does it."""
        found = side_by_side(lanes([self._forward], self.streams), batches)
        return [states[self._top] for _, states in found]

    def first_call(self, batches: Sequence[Ids]) -> dict[str, float | None]:
        """Its seconds, and the peaks of memory after it."""
        begin = time.perf_counter()
        self(batches)
        seconds = time.perf_counter() - begin
        device = (self.device.memory_stats() or {}).get("peak_bytes_in_use")
        return {
            "first_call_seconds": figure(seconds),
            "host_peak_gib": figure(peak_memory() / 2**30),
            "device_peak_gib": None if device is None else figure(device / 2**30),
        }


def measure(
    ours: Ours,
    subject: Subject,
    shapes: list[tuple[int, int]],
    repeats: int,
    peer: Peer | None,
) -> list[Cell]:
    """A cell for each shape of batches, (sequences, tokens), in this order.

    All first calls come before the peer's model, so memory is ours alone; it only grows, so it is
    a shape's own where the shapes grow.
    """
    rng = np.random.default_rng(0)
    vocabulary = subject.spec.vocab_size
    count = _BATCHES * ours.streams
    work = [list(rng.integers(vocabulary, size=(count, *s), dtype=np.int32)) for s in shapes]
    cells = []
    with Console(stderr=True).status("first calls") as status:
        firsts = [ours.first_call(batches) for batches in work]
        theirs = None if peer is None else peer.forward(subject.config, ours.decoder)
        for shape, batches, first in zip(shapes, work, firsts, strict=True):
            status.update(f"{count} batches of {shape[0]} sequences of {shape[1]} tokens")
            tasks: dict[str, Callable[[], Any]] = {"ours": partial(ours, batches)}
            if theirs is not None:
                tasks["torch"] = theirs(batches)
            states, timings = take_turns(tasks, repeats)
            cells.append(_cell(subject, count, shape, timings) | _compared(states, timings) | first)
    return cells


def _cell(
    subject: Subject, count: int, shape: tuple[int, int], timings: Mapping[str, Timing]
) -> Cell:
    seconds = timings["ours"].median
    tokens = count * shape[0] * shape[1]
    work = count * flops(subject.spec, *shape, blocks=subject.spec.num_layers)
    return {
        "batches": count,
        "sequences": shape[0],
        "tokens": shape[1],
        "gflops_a_token": figure(work / tokens / 1e9),
        "seconds": {name: timing.asdict() for name, timing in timings.items()},
        "tokens_per_second": {
            name: figure(tokens / timing.median) for name, timing in timings.items()
        },
        "tflops": figure(work / seconds / 1e12),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _compared(states: Mapping[str, Any], timings: Mapping[str, Timing]) -> Cell:
    if "torch" not in timings:
        return {}
    ratio = timings["torch"].median / timings["ours"].median
    pairs = zip(states["ours"], states["torch"], strict=True)
    return {
        "torch_time_over_ours": figure(ratio),
        "largest_difference": figure(max(difference(*pair) for pair in pairs)),
    }
