"""One layer: one pass over the shards for all pools, then their group solves."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import get_args

import numpy as np

from spectra.artifacts import RowReader
from spectra.backend import Backend, one_thread_blas
from spectra.engine.clock import Clock, TimedBackend
from spectra.engine.collect import RowStore
from spectra.engine.config import RunConfig
from spectra.engine.dealing import Deal
from spectra.engine.exchange import own_blocks
from spectra.engine.influence import Influence
from spectra.engine.memory import Bytes, Limit
from spectra.engine.plan import PoolPlan, Round, rounds
from spectra.engine.pool import PoolJob, PoolResult, Progress, bad_rows
from spectra.engine.sampled import Samples
from spectra.engine.source import STREAMED, Source, pilot
from spectra.engine.stream import Stream
from spectra.engine.workers import Workers
from spectra.errors import DeviceMemoryError
from spectra.grouping import Ints, Steps
from spectra.linalg import Fault
from spectra.pooling import StepTokens, pooled_rows
from spectra.uncertainty import Blocks

OUT_OF_DEVICE_MEMORY = "RESOURCE_EXHAUSTED"
"""How XLA's error begins where an allocation fails, whatever its class."""


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What evaluating a layer will do and take.

    Attributes:
        pairs: the tokens of steps that count.
        pools: the plan of each pool.
        rounds: which pools are processed together, in which sweeps.
        dropped: sorted token rows that are left out.
        limit: the memory that may be taken.
    """

    pairs: StepTokens
    pools: tuple[PoolPlan, ...]
    rounds: tuple[Round, ...]
    dropped: Ints
    limit: Limit

    @property
    def planned(self) -> Bytes:
        """The largest memory that stored rows and moments take at any time."""
        return reduce(Bytes.larger, (one.planned for one in self.rounds))

    @property
    def room(self) -> int:
        """Bytes that moments may take where they lie."""
        return self.limit.host if self.limit.device is None else self.limit.device

    def within(self, limit: Limit) -> LayerPlan:
        """The same work in as many rounds and sweeps as another limit asks for."""
        return replace(self, rounds=rounds(self.pools, limit), limit=limit)

    @property
    def passes(self) -> int:
        """How many passes over the shards there are; each reads only what it needs."""
        return sum(len(one.sweeps) for one in self.rounds)


def plan_layer(
    steps: Steps, dim: int, itemsize: int, config: RunConfig, limit: Limit, dropped: Ints
) -> LayerPlan:
    """Plan all pools of one layer; `dropped` are sorted token rows to leave out."""
    pairs = StepTokens.of(steps, dropped)
    plans = [
        PoolPlan.of(
            pooled_rows(pool, pairs, config.num_bins, config.depth),
            dim,
            8 if pool == "mean" else itemsize,
            config.draws,
            config.weighs,
            config.diagnostics,
        )
        for pool in config.pools
    ]
    return LayerPlan(pairs, tuple(plans), rounds(plans, limit), dropped, limit)


@dataclass(slots=True)
class LayerResult:
    """What a layer gave.

    Attributes:
        pools: a result a pool.
        repairs: how many spectra were computed again from rows on the host, by what was wrong.
        exhausted: bytes planned for moments on a device whose memory ran out, a try each.
    """

    pools: list[PoolResult]
    repairs: Counter[Fault]
    exhausted: list[int] = field(default_factory=list)


def evaluate_layer(
    plan: LayerPlan,
    reader: RowReader,
    config: RunConfig,
    backend: Backend,
    progress: Progress,
    blocks: Blocks,
    profile: Clock | None = None,
    source: Source = STREAMED,
) -> LayerResult:
    """The spectra of all groups and subsamples of one layer.

    `blocks` are the traces that standard errors leave out together; `profile` is told where the
    time goes, for which an accelerator's products wait for each other. `source` fills collectors:
    with one pass over the rows, or with what such passes left.

    Where a device's memory runs out the layer is begun again with half of what was planned there,
    in more passes and smaller blocks. Raises `DeviceMemoryError` where that does not do either, or
    where other processes take part, which would not know.
    """
    exhausted: list[int] = []
    while True:
        try:
            result = _evaluate(plan, reader, config, backend, progress, blocks, profile, source)
        except Exception as error:
            if OUT_OF_DEVICE_MEMORY not in str(error):
                raise
            exhausted.append(plan.room)
            smaller = backend.with_less_room() if source.processes.count == 1 else None
            if smaller is None:
                raise _nothing_smaller(backend, exhausted, error) from None
        else:
            result.exhausted = exhausted
            return result
        gc.collect()  # the error's frames held arrays on the device
        backend = smaller
        plan = plan.within(replace(plan.limit, device=backend.moment_room(reader.dim)))
        if not plan.limit.holds(plan.planned):
            raise _nothing_smaller(backend, exhausted, None)


def _nothing_smaller(
    backend: Backend, exhausted: Sequence[int], error: Exception | None
) -> DeviceMemoryError:
    tried = ", ".join(f"{size / 1e6:,.0f} MB" for size in exhausted)
    told = f" It said: {str(error).splitlines()[0]}" if error is not None else ""
    return DeviceMemoryError(
        f"the memory of the {backend.name} ran out, with {tried} planned for moments, and less "
        "does not serve. Nothing was written. Expected more free memory: end other programs "
        f"there, ask for fewer pools, counts or depth bins, or run with --backend cpu.{told}"
    )


def _evaluate(
    plan: LayerPlan,
    reader: RowReader,
    config: RunConfig,
    backend: Backend,
    progress: Progress,
    blocks: Blocks,
    profile: Clock | None,
    source: Source,
) -> LayerResult:
    clock, fast = Clock() if profile is None else profile, backend.mode == "fast"
    if profile is not None:
        backend = TimedBackend(backend, profile)
    stream = source.stream(reader, plan.pairs, clock)
    shift, deal = source.shift(reader), Deal(source.processes)
    results: list[PoolResult] = []
    with one_thread_blas(), Workers(clock, deal) as workers:
        for one in plan.rounds:
            pools = [plan.pools[pool] for pool in one.pools]
            jobs = [
                PoolJob(pool, shift, reader, backend, config, workers, blocks) for pool in pools
            ]
            for categories in one.sweeps:
                collectors = [job.open(categories) for job in jobs]
                source.fill(collectors, categories, stream, _reading(progress, reader))
                for job, collector in zip(jobs, collectors, strict=True):
                    collector.finish()
                    job.close(categories, collector, progress)
                for job in jobs:
                    job.wait()
                _weigh(jobs, stream, deal, progress)
            for job in jobs:
                job.finish(stream, np.setdiff1d(stream.bad, plan.dropped))
                if config.jackknife == "exact" and config.weighs:
                    job.leave_out(stream, blocks, plan.room)
                if config.half_sample:
                    job.halve(stream, blocks, plan.room, config.repeats, config.seed)
                if fast:
                    job.check(stream, config.seed)
            results += [job.result for job in jobs]
    return LayerResult(results, _all_repairs(workers.repairs, deal))


def _all_repairs(own: Counter[Fault], deal: Deal) -> Counter[Fault]:
    faults: tuple[Fault, ...] = get_args(Fault)
    (counts,) = deal.summed([np.array([own[fault] for fault in faults], np.float64)])
    return +Counter(dict(zip(faults, map(int, counts.tolist()), strict=True)))


def evaluate_samples(
    plan: PoolPlan,
    reader: RowReader,
    config: RunConfig,
    backend: Backend,
    progress: Progress,
    blocks: Blocks,
) -> PoolResult:
    """The subsamples of one pool alone: `sampled`, `sampled_carried` and what is not finite."""
    clock, shift, result = Clock(), pilot(reader), PoolResult(plan)
    rows = plan.rows
    dtype = np.dtype(np.float64) if rows.pool == "mean" else reader.dtype
    stored, stream = RowStore(plan.lasting, plan.dim, dtype), Stream(reader, rows.pairs, clock)
    wanted = np.zeros(rows.atoms.count, bool)
    wanted[rows.atom_of(plan.lasting)] = True
    with one_thread_blas(), Workers(clock) as workers:
        for block in stream.blocks([rows], [wanted], _reading(progress, reader)):
            mine = plan.lasts(block.numbers)
            stored.put(block.numbers[mine], block.rows[mine])
        influence = None
        if plan.weighs:
            influence = Influence(rows, plan.dim, shift, backend, config.chosen, blocks)
        samples = Samples(plan, stored, shift, backend, config, workers, influence)
        samples.begin(lambda done, whole: progress("matched counts", done, whole))
        samples.wait()
        result.sampled_carried = samples.take_carried()
        result.sampled_blocks = samples.blocks_drawn(blocks)
        result.sampled = samples.eigenvalues()
    bad = np.setdiff1d(stream.bad, rows.pairs.dropped)
    result.bad, result.bad_tokens, result.bad_behind = bad_rows(rows, bad)
    return result


def _weigh(jobs: Sequence[PoolJob], stream: Stream, deal: Deal, progress: Progress) -> None:
    """Find what traces carry of the groups solved so far, with one more pass where they need it."""
    passes = [job.second_pass() for job in jobs]
    taking = [one for one in passes if one is not None]
    if taking:
        rows_of = [one.rows for one in taking]
        reader = stream.reader
        for block in own_blocks(
            *(stream, deal.processes, rows_of, [one.wanted for one in taking]),
            lambda rows: progress("standard errors", rows, reader.num_rows),
        ):
            taking[block.pool].add(block.rows, block.numbers)
    for job, one in zip(jobs, passes, strict=True):
        job.note_carried(one)


def _reading(progress: Progress, reader: RowReader) -> Callable[[int], None]:
    return lambda rows: progress("reading", rows, reader.num_rows)
