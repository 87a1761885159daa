"""How long a plan will take: its operations over rates measured on this machine at this moment.

Products cost n d² operations where a group is kept as moments and n² d where it is kept as rows
(half of a full product, the result being symmetric); a reduction of size m = min(n, d) takes
c + a m³ seconds, with a and c fitted to two timed sizes. Reading, and groups that need an SVD of
their rows, are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from spectra.backend import Backend, one_thread_blas, usable_cores
from spectra.engine import LayerPlan
from spectra.engine.clock import Clock
from spectra.engine.plan import PoolPlan
from spectra.engine.solve import Solver
from spectra.engine.workers import Workers

START_SECONDS = 3.0
"""Imports and compilation, measured on two cores."""

_PRODUCT_SIZE, _PRODUCT_ROWS = 1024, 512
_LARGE, _SMALL = 384, 96


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine was just seen to do.

    Attributes:
        backend: where.
        flops: operations a second of a symmetric product.
        size, seconds: a reduction of this size took this long, several of them side by side.
        cubic, constant: seconds of a reduction of size m are constant + cubic m³.
    """

    backend: str
    flops: float
    size: int
    seconds: float
    cubic: float
    constant: float

    def sentence(self) -> str:
        """How the estimate was made."""
        return (
            "the plan's operations over rates timed just now on this machine's "
            f"{self.backend}: products at {self.flops / 1e9:.3g} GFLOP/s, reductions of "
            f"size {self.size} in {self.seconds * 1e3:.2g} ms each; start-up of "
            f"{START_SECONDS:.0f} s included, reading not"
        )


def measure(backend: Backend, dim: int) -> Rates:
    """Time a product and two sizes of reduction, no wider than dim; some tenths of a second."""
    with one_thread_blas():
        return _measure(backend, dim)


def _measure(backend: Backend, dim: int) -> Rates:
    width = min(dim, _PRODUCT_SIZE)
    rows = np.random.default_rng(0).standard_normal((_PRODUCT_ROWS, width))

    def product() -> None:
        sums = backend.accumulate(backend.zeros(width), rows, np.zeros(width))
        jax.block_until_ready(sums.gram)

    large, small = max(min(dim, _LARGE), 2), max(min(dim, _LARGE) // 4, 1)
    at_large, at_small = (_reduction_seconds(backend, size) for size in (large, small))
    cubic = max(at_large - at_small, 0.0) / (large**3 - small**3)
    return Rates(
        backend.name,
        _PRODUCT_ROWS * width**2 / _best(product),
        large,
        at_large,
        cubic,
        max(at_small - cubic * small**3, 0.0),
    )


def estimated_seconds(plan: LayerPlan, rates: Rates) -> float:
    """Seconds to evaluate one layer, without start-up."""
    return sum(_pool_seconds(pool, rates) for pool in plan.pools)


def _pool_seconds(plan: PoolPlan, rates: Rates) -> float:
    atoms, dim = plan.rows.atoms, plan.dim
    groups = atoms.basic_groups() + atoms.depth_groups()
    rows = np.array([plan.atom_rows[atoms.mask(group)].sum() for group in groups], dtype=float)
    counts = np.array([count for sample in plan.samples for count in sample.counts], dtype=float)
    largest = np.array([sample.counts[-1] for sample in plan.samples], dtype=float)
    kept_as_rows = np.concatenate([rows[rows <= dim], counts[counts <= dim]])
    # Moments add: a group's rows are multiplied once, and so are those of nested subsamples.
    as_moments = (rows[0] if rows[0] > dim else 0) + largest[largest > dim].sum()
    operations = (kept_as_rows**2).sum() * dim + as_moments * dim**2
    sizes = np.minimum(np.concatenate([rows[rows > 0], counts]), dim)
    reductions = rates.constant * len(sizes) + rates.cubic * (sizes**3).sum()
    return float(operations / rates.flops + reductions)


def _reduction_seconds(backend: Backend, size: int) -> float:
    """Seconds a reduction, eigenvalues included, with enough of them to keep the cores busy."""
    shift = np.zeros(size)
    rows = np.random.default_rng(1).standard_normal((size + 1, size))
    part = backend.accumulate(backend.zeros(size), rows, shift)
    count = 2 * usable_cores()

    def reduce() -> None:
        with Workers(Clock()) as workers:
            solver: Solver[int] = Solver(size, shift, backend, (1, 2), workers)
            for number in range(count):
                solver.submit(number, part)
            solver.finish()

    return _best(reduce) / count


def _best(call: Callable[[], None]) -> float:
    """The shortest of four timings, after a first call that warms up and compiles."""
    call()
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
