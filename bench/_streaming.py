"""The rate of products, and how far reading hides behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from bench._synthetic import Size, write
from bench._timing import figure, take_turns
from spectra.backend import Backend, Sums, one_thread_blas
from spectra.backend.device import ROWS_PER_UPDATE, update_moments
from spectra.backend.host import HostBackend
from spectra.engine import Clock, RunConfig
from spectra.engine.collect import Collector, RowStore
from spectra.engine.stream import Block, Stream
from spectra.linalg import add_gram
from spectra.preparation import prepare

BLOCK_ROWS = 8192
PAUSE = 0.1


def products(backend: Backend, dim: int, rows: int, repeats: int) -> dict[str, Any]:
    """Bfloat16 rows to moments, conversion included, against the library's product alone."""
    x = np.random.default_rng(0).standard_normal((rows, dim), np.float32).astype(jnp.bfloat16)
    wide, shift = x.astype(np.float64), np.zeros(dim)

    def ours() -> Any:
        with one_thread_blas():
            sums = backend.zeros(dim)
            for start in range(0, rows, BLOCK_ROWS):
                sums = backend.accumulate(sums, x[start : start + BLOCK_ROWS], shift)
            return sums.gram

    def on_host() -> Any:
        assert isinstance(backend, HostBackend)
        with one_thread_blas():
            gram = np.zeros((dim, dim), order="F")
            for start in range(0, rows, BLOCK_ROWS):
                add_gram(gram, wide[start : start + BLOCK_ROWS], backend.threads, backend.cores)
            return gram

    alone = on_host if isinstance(backend, HostBackend) else _on_device(backend, x)
    library, name, flops = _library(backend, wide)
    tasks: dict[str, Callable[[], Any]] = {"ours": ours, "library": library, "alone": alone}
    _, timings = take_turns(tasks, repeats, PAUSE)
    rates = {task: flops / timing.median / 1e9 for task, timing in timings.items()}
    return {
        "d": dim,
        "rows": rows,
        "gflops": figure(rates["ours"]),
        "library": name,
        "library_gflops": figure(rates["library"]),
        "share": figure(rates["ours"] / rates["library"]),
        "products_alone": figure(rates["alone"] / rates["library"]),
    }


def _on_device(backend: Backend, x: NDArray[Any]) -> Callable[[], Any]:
    """The update of moments alone, by blocks as large as the engine's, rows being there."""
    device, dim, shift = jax.devices(backend.name)[0], x.shape[1], np.zeros(x.shape[1])
    with jax.enable_x64(True):
        blocks = [
            jax.device_put(x[start : start + ROWS_PER_UPDATE], device)
            for start in range(0, len(x), ROWS_PER_UPDATE)
        ]

    def update() -> Any:
        sums = backend.zeros(dim)
        total, gram = sums.total, sums.gram
        with jax.enable_x64(True), jax.default_device(device):
            for block in blocks:
                total, gram = update_moments(total, gram, block, len(block), shift)
        return gram

    return update


def _library(backend: Backend, x: NDArray[np.float64]) -> tuple[Callable[[], Any], str, float]:
    """X'X of rows where the backend computes, its name, and how many flops it takes there.

    A device has no `syrk`, so that neither it nor ours makes use of the symmetry.
    """
    rows, dim = x.shape
    if backend.name == "cpu":
        return (
            lambda: blas.dsyrk(1.0, x.T, lower=1),
            "syrk, all cores",
            float(rows * dim * (dim + 1)),
        )
    multiply = jax.jit(lambda a: jnp.matmul(a.T, a, precision=jax.lax.Precision.HIGHEST))
    with jax.enable_x64(True):
        there = jax.device_put(x, jax.devices(backend.name)[0])

    def library() -> Any:
        with jax.enable_x64(True):
            return multiply(there)

    return library, "matmul, float64", float(2 * rows * dim * dim)


def overlap(backend: Backend, dim: int, rows: int, repeats: int, scratch: Path) -> dict[str, Any]:
    """Seconds to read an artifact's rows, to multiply them, and to do both."""
    size = Size(dim, traces=1, steps=1, tokens=rows)
    options = RunConfig(pools=("all",), num_bins=1, counts=(2,), repeats=1)
    prepared = prepare(write(scratch / f"one{dim}", size), options, backend)
    (plan,), (pool,) = prepared.plans, prepared.plans[0].pools
    everything = np.ones(pool.rows.atoms.count, bool)
    categories = range(len(pool.rows.atoms.categories))
    with prepared.artifact.open_rows(prepared.layers[0]) as reader, one_thread_blas():

        def blocks() -> Iterable[Block]:
            stream = Stream(reader, plan.pairs, Clock())
            return stream.blocks([pool.rows], [everything])

        def multiply(found: Iterable[Block]) -> list[Sums]:
            lasting = RowStore(pool.lasting, dim, reader.dtype)
            collector = Collector(
                *(pool, pool.stored(categories), lasting, reader.dtype, np.zeros(dim), backend)
            )
            for block in found:
                collector.add(block.rows, block.numbers)
            collector.finish()
            return list(collector.moments.values())

        kept = [Block(pool, found.copy(), numbers) for pool, found, numbers in blocks()]
        _, timings = take_turns(
            {
                "read": lambda: [block.pool for block in blocks()],
                "multiply": lambda: [sums.gram for sums in multiply(kept)],
                "both": lambda: [sums.gram for sums in multiply(blocks())],
            },
            repeats,
        )
    read, alone, both = (timings[name].median for name in ("read", "multiply", "both"))
    return {
        "d": dim,
        "rows": rows,
        "read": figure(read),
        "multiply": figure(alone),
        "both": figure(both),
        "both_over_larger": figure(both / max(read, alone)),
    }
