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
from spectra.engine.influence import Influence, SecondPass
from spectra.engine.memory import Bytes, Limit
from spectra.engine.plan import PoolPlan, Round, rounds
from spectra.engine.pool import PoolJob, PoolResult, Progress, bad_rows
from spectra.engine.repair import LEAST_CELLS, Repairs, cell_bytes
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

    def room_to_repair(self, one: Round, categories: range) -> tuple[int, int]:
        """Bytes of the host's memory for repairs beside axes, and where none are held."""
        pools = [self.pools[number] for number in one.pools]
        moments = sum((pool.moments(categories, self.limit) for pool in pools), Bytes()).host
        both = [pool.waiting(categories, self.limit) for pool in pools]
        beside = sum(collected.host - weighing.host for collected, weighing in both)
        return max(beside, 0), max(moments, LEAST_CELLS * cell_bytes(pools[0].dim))

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
                room = plan.room_to_repair(one, categories)
                _look_again(jobs, stream, deal, progress, room)
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


def _look_again(
    jobs: Sequence[PoolJob], stream: Stream, deal: Deal, progress: Progress, room: tuple[int, int]
) -> None:
    """Weigh and repair the groups solved so far, with more passes where they need them.

    Unresolved groups are repaired in the pass that weighs, as far as the first `room` in bytes
    allows, and the others in passes of their own, which have the second.
    """
    beside, alone = room
    weighing = [job.second_pass() for job in jobs]
    passing: list[SecondPass | Repairs] = [one for one in weighing if one is not None]
    repairs = _unresolved(jobs, beside) if passing and beside >= alone // 2 else []
    takers = [*passing, *(one for _, one in repairs)]
    _take_rows(takers, stream, deal, "standard errors", progress)
    for job, weighed in zip(jobs, weighing, strict=True):
        job.note_carried(weighed)
    del passing, weighing, takers  # and with them the axes
    while True:
        for job, one in repairs:
            job.note_repaired(one)
        repairs = _unresolved(jobs, alone)
        if not repairs:
            return
        _take_rows([one for _, one in repairs], stream, deal, "unresolved spectra", progress)


def _unresolved(jobs: Sequence[PoolJob], room: int) -> list[tuple[PoolJob, Repairs]]:
    """What repairs groups of all pools; each has a share of the room that is left."""
    found = []
    needy = [job for job in jobs if job.unresolved]
    for after, job in enumerate(needy):
        found.append((job, job.repairs(room // (len(needy) - after))))
        room = max(0, room - found[-1][1].bytes)
    return found


def _take_rows(
    takers: Sequence[SecondPass | Repairs],
    stream: Stream,
    deal: Deal,
    stage: str,
    progress: Progress,
) -> None:
    """Have these take the rows that they want, in one pass; none where there are none."""
    if takers:
        total = stream.reader.num_rows
        rows_of, wanted = [one.rows for one in takers], [one.wanted for one in takers]
        for block in own_blocks(
            *(stream, deal.processes, rows_of, wanted), lambda rows: progress(stage, rows, total)
        ):
            takers[block.pool].add(block.rows, block.numbers)


def _reading(progress: Progress, reader: RowReader) -> Callable[[int], None]:
    return lambda rows: progress("reading", rows, reader.num_rows)
