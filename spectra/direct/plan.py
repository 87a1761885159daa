"""Before anything is computed: which layers share a pass of the model, and the memory it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Any

from spectra.artifacts import Artifact
from spectra.backend import Backend
from spectra.engine import LayerPlan, Progress, RunConfig
from spectra.engine.memory import Bytes, Limit
from spectra.errors import UsageError
from spectra.preparation import Prepared, least_needed, megabytes, prepare_opened

PROCESS = Bytes(400_000_000)
"""What Python, JAX and what it compiles take beside; seen with a real model on a CPU."""


@dataclass(frozen=True, slots=True)
class Need:
    """Memory that the model takes.

    Attributes:
        model: weights, and what batches take while they are computed.
        states: of each layer, the states of the batches that were computed and not yet taken.
    """

    model: Bytes
    states: Bytes


@dataclass(frozen=True, slots=True)
class Passes:
    """How many passes of the model there will be.

    Attributes:
        filling: those that collect rows and moments.
        weighing: those for standard errors to first order.
        looking: at least so many for what looks at rows again and again: the exact jackknife,
            halves, conventions that normalise rows.
    """

    filling: int
    weighing: int
    looking: int

    @property
    def total(self) -> int:
        """All of them; where spectra are not resolved by their moments there are more."""
        return self.filling + self.weighing + self.looking

    def asdict(self) -> dict[str, int]:
        """By kind."""
        kinds = {"filling": self.filling, "weighing": self.weighing, "looking": self.looking}
        return {**kinds, "at_least": self.total}


@dataclass(frozen=True, slots=True)
class DirectPlan:
    """What a run without shards will do and take.

    Attributes:
        prepared: the artifact as it would be, with the plan of each layer.
        lots: numbers of the layers, in `prepared`, that are evaluated side by side.
        collected: rows and moments of the largest lot at most, those of one group solve included.
        need: what the model takes beside.
        passes: how many there will be.
    """

    prepared: Prepared
    lots: tuple[range, ...]
    collected: Bytes
    need: Need
    passes: Passes

    @property
    def states(self) -> Bytes:
        """What the states of batches take, of all layers of the largest lot."""
        return _times(self.need.states, max(map(len, self.lots)))

    @property
    def memory(self) -> Bytes:
        """All of it together."""
        return self.need.model + self.states + self.collected

    def asdict(self) -> dict[str, Any]:
        """For run.json and for who asks what would be done; `process` is not in the total."""
        return {
            "model": self.need.model.asdict(),
            "states": self.states.asdict(),
            "collected": self.collected.asdict(),
            "total": self.memory.asdict(),
            "process": PROCESS.asdict(),
        }


def check_options(config: RunConfig) -> None:
    """Raise `UsageError` for options that need all rows before any is collected."""
    if config.looks_first:
        raise UsageError(
            "a run without shards does not go with --nonfinite drop or error, nor with "
            "--drop-norms: what is left out would follow from all states before any is collected. "
            "Expected --nonfinite null and --drop-norms 0, or a run that writes shards."
        )


def plan_direct(
    artifact: Artifact,
    config: RunConfig,
    backend: Backend,
    need: Need,
    host: int,
    progress: Progress = lambda *_: None,
) -> DirectPlan:
    """Plan the layers that `config` asks for.

    Args:
        artifact: as it would be on the disk.
        config: all options of the spectral stage.
        backend: where it computes, and the model too.
        need: what the model takes.
        host: bytes of the host's memory for all of it.
        progress: told of each stage's progress.

    Raises:
        UsageError: an option needs shards, or it does not fit.
    """
    check_options(config)
    dim = artifact.config.hidden_dim - len(set(config.drop_dims))
    there = backend.moment_room(dim)
    whole = Limit(host, there)
    one = need.model + need.states
    left = Limit(max(host - one.host, 0), None if there is None else max(there - one.device, 0))
    prepared = prepare_opened(artifact, config, backend, progress, whole=False, limit=left)
    layers = len(prepared.plans)
    first = prepared.plans[0]
    least = least_needed(first, dim, config)
    if not left.holds(least):
        raise UsageError(_too_much(need, least, whole))
    together = 1
    if first.passes == 1:
        while together < layers and whole.holds(
            need.model + _times(need.states, together + 1) + _side_by_side(first, together + 1)
        ):
            together += 1
    count = -(-layers // together)
    borders = [layers * number // count for number in range(count + 1)]
    lots = tuple(range(*pair) for pair in pairwise(borders))
    largest = max(map(len, lots))
    share = Limit(left.host // largest, None if left.device is None else left.device // largest)
    plans = tuple(replace(plan, limit=share) for plan in prepared.plans)
    return DirectPlan(
        replace(prepared, plans=plans),
        lots,
        _side_by_side(first, largest).larger(least),
        need,
        _passes(first, config, count),
    )


def _side_by_side(plan: LayerPlan, layers: int) -> Bytes:
    """What so many layers take, of which one at a time is solved: the others wait."""
    waiting = Bytes()
    for one in plan.rounds:
        pools = [plan.pools[number] for number in one.pools]
        for categories in one.sweeps:
            both = [pool.waiting(categories, plan.limit) for pool in pools]
            collected, weighing = (sum(state, Bytes()) for state in zip(*both, strict=True))
            moments = sum((pool.moments(categories, plan.limit) for pool in pools), Bytes())
            repairing = collected - moments + Bytes(plan.room_to_repair(one, categories)[1])
            waiting = waiting.larger(collected).larger(weighing).larger(repairing)
    return plan.planned.larger(waiting) + _times(waiting, layers - 1)


def _passes(plan: LayerPlan, config: RunConfig, lots: int) -> Passes:
    large = [pool for pool in plan.pools if len(pool.rows) > pool.dim]
    weighing = plan.passes if config.weighs and large else 0
    looking = 0
    if config.chosen.row_norm:
        for pool in plan.pools:
            atoms = pool.rows.atoms
            sizes = pool.rows.sizes(atoms.basic_groups() + atoms.depth_groups())
            looking += 2 * (sum(size > 0 for size in sizes.values()) - len(pool.twins()))
    if config.weighs and config.jackknife == "exact":
        looking += sum(len(pool.rows) > 0 for pool in plan.pools)
    if config.half_sample:
        looking += config.repeats * sum(len(pool.rows) >= 2 * pool.dim for pool in plan.pools)
    return Passes(lots * plan.passes, lots * weighing, lots * looking)


def _too_much(need: Need, least: Bytes, limit: Limit) -> str:
    model = need.model + need.states
    what = f"{megabytes(model.host)} for the model and {megabytes(least.host)} for rows and moments"
    given = megabytes(limit.host)
    if limit.device is not None:
        what += f", and {megabytes(model.device)} and {megabytes(least.device)} on the device"
        given += f", and {megabytes(limit.device)} there"
    return (
        f"one layer, pool and category at a time needs {what}; {given} may be taken. Expected "
        "more: give --max-memory, ask for fewer depth bins, or for fewer or smaller counts or "
        "repeats of the sweep, or write shards (leave --no-shards out) and run on them."
    )


def _times(one: Bytes, count: int) -> Bytes:
    return reduce(Bytes.__add__, [one] * count, Bytes())
