"""One layer: one pass over the shards for all pools, then their group solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spectra.artifacts import RowReader
from spectra.backend import Backend, one_thread_blas
from spectra.engine.config import RunConfig
from spectra.engine.plan import PoolPlan, planned_bytes, sweeps
from spectra.engine.pool import PoolJob, PoolResult, Progress
from spectra.engine.stream import Stream
from spectra.errors import NonFiniteRowsError
from spectra.grouping import Ints, Steps
from spectra.linalg import F64
from spectra.pooling import StepTokens, pooled_rows

PILOT_ROWS = 1024


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What evaluating a layer will do and take."""

    pairs: StepTokens
    pools: tuple[PoolPlan, ...]
    sweeps: tuple[range, ...]
    planned_bytes: int
    dropped: Ints


def plan_layer(
    steps: Steps, dim: int, itemsize: int, config: RunConfig, limit: int, dropped: Ints
) -> LayerPlan:
    """Plan all pools of one layer; `dropped` are sorted token rows to leave out."""
    pairs = StepTokens.of(steps, dropped)
    plans = [
        PoolPlan.of(
            pooled_rows(pool, steps, pairs, config.num_bins, config.depth),
            dim,
            8 if pool == "mean" else itemsize,
            config.counts,
            config.repeats,
            config.seed,
        )
        for pool in config.pools
    ]
    ranges = sweeps(plans, limit)
    return LayerPlan(pairs, tuple(plans), tuple(ranges), planned_bytes(plans, ranges), dropped)


def evaluate_layer(
    plan: LayerPlan,
    reader: RowReader,
    config: RunConfig,
    backend: Backend,
    progress: Progress,
    locate: Callable[[int], str],
) -> list[PoolResult]:
    """The spectra of all groups and subsamples of one layer, a result a pool.

    `locate` names a token row for people.
    """
    stream = Stream(reader, plan.pairs)
    shift = pilot(reader)
    jobs = [PoolJob(pool, shift, reader, backend, config) for pool in plan.pools]
    with one_thread_blas():
        for categories in plan.sweeps:
            collectors = [job.open(categories) for job in jobs]
            wanted = [pool.among(categories) for pool in plan.pools]
            pools = [pool.rows for pool in plan.pools]
            advance = _reading(progress, reader)
            for number, rows, numbers in stream.blocks(pools, wanted, advance):
                if config.nonfinite == "error" and len(stream.bad):
                    raise NonFiniteRowsError(_first_bad(locate(int(stream.bad[0]))))
                collectors[number].add(rows, numbers)
            for job, collector in zip(jobs, collectors, strict=True):
                collector.finish()
                job.close(categories, collector, progress)
        for job in jobs:
            job.finish(stream, np.setdiff1d(stream.bad, plan.dropped))
    return [job.result for job in jobs]


def pilot(reader: RowReader) -> F64:
    """The shift [d] of the moments: the median of evenly spaced token rows, in float32.

    Any shift gives the same spectra in exact arithmetic; one near the mean keeps large means from
    costing digits. It depends on the states alone, so labels and options do not move results by
    rounding.
    """
    if reader.num_rows == 0:
        return np.zeros(reader.dim)
    places = np.unique(
        np.linspace(0, reader.num_rows - 1, min(PILOT_ROWS, reader.num_rows)).astype(int)
    )
    rows = np.stack([reader.read(int(p), int(p) + 1)[0] for p in places]).astype(np.float64)
    finite = rows[np.isfinite(rows).all(axis=1)]
    if len(finite) == 0:
        return np.zeros(reader.dim)
    return np.median(finite, axis=0).astype(np.float32).astype(np.float64)


def _reading(progress: Progress, reader: RowReader) -> Callable[[int], None]:
    return lambda rows: progress("reading", rows, reader.num_rows)


def _first_bad(where: str) -> str:
    return (
        f"{where}: the hidden state holds NaN or infinity (--nonfinite error). "
        "Expected finite values; use --nonfinite null to leave the groups undefined, or "
        "--nonfinite drop to leave such tokens out."
    )
