"""Before any state is read: open a model directory, map its labels, plan its layers."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from spectra.artifacts import Artifact, Layer, Place, Sample, open_artifact
from spectra.backend import Backend, device_kind
from spectra.categories import CategoryMap, load_map
from spectra.distributed import ALONE, Processes
from spectra.engine import LayerPlan, PoolPlan, Progress, RunConfig, plan_layer
from spectra.engine.memory import Bytes, Limit
from spectra.errors import UsageError
from spectra.grouping import Steps
from spectra.left_out import LeftOut, tokens_left_out
from spectra.outputs import expected_bytes
from spectra.provenance import available_memory
from spectra.strict_json import JSONObject
from spectra.uncertainty import Blocks

OTHER = "(other)"
MEMORY_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class CappedNames:
    """A category map of which only the `kept` macro categories keep their name (None: all)."""

    map: CategoryMap
    kept: frozenset[str] | None = None
    other: str = OTHER

    def macro(self, label: str | None) -> str:
        """The macro category of a label, or `other`."""
        macro = self.map.macro(label)
        return macro if self.kept is None or macro in self.kept else self.other

    def asdict(self) -> dict[str, Any]:
        """What the files say of the map."""
        return {
            "map": self.map.name,
            "source": self.map.source,
            "labels": dict(sorted(self.map.labels.items())),
            "merged_into": None if self.kept is None else self.other,
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """An opened artifact with the plan of each layer."""

    artifact: Artifact
    layers: tuple[Layer, ...]
    names: CappedNames
    blocks: Blocks
    plans: tuple[LayerPlan, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]

    @property
    def planned(self) -> Bytes:
        """The largest memory that stored rows and moments take, one layer after the other."""
        return reduce(Bytes.larger, (plan.planned for plan in self.plans))

    def output_bytes(self, config: RunConfig) -> int:
        """About what the metric files will take."""
        pools = [pool for plan in self.plans for pool in plan.pools]
        return expected_bytes(pools, len(self.artifact.index.samples) if config.influences else 0)

    def course(self) -> JSONObject:
        """In what rounds and sweeps layers are processed, and without which tokens."""
        plans = [
            [[*one.pools, *((some.start, some.stop) for some in one.sweeps)] for one in plan.rounds]
            for plan in self.plans
        ]
        tokens = [hashlib.sha256(one.tokens.astype("<i8").tobytes()) for one in self.left_out]
        return {"rounds": repr(plans), "left_out": [one.hexdigest() for one in tokens]}

    def fetched(self) -> Prepared:
        """With the layers' rows there to be read."""
        return replace(self, artifact=self.artifact.fetched(self.layers))

    def without_steps(self) -> Prepared:
        """With an index of bare samples: the plans have the steps, in a tenth of the memory."""
        bare = tuple(replace(sample, steps=()) for sample in self.artifact.index.samples)
        index = replace(self.artifact.index, samples=bare)
        return replace(self, artifact=replace(self.artifact, index=index))


def prepare(
    place: Place,
    config: RunConfig,
    backend: Backend,
    progress: Progress = lambda *_: None,
    processes: Processes = ALONE,
    *,
    whole: bool = True,
) -> Prepared:
    """Open one model directory and plan it for the backend.

    Reads no states, nor fetches any, unless they decide what is left out. A run that is not
    `whole`, being one part of it, need not fit the memory altogether. Processes that share a run
    plan it for the least memory that one of them has, and are told by each other of what is left
    out.
    """
    return prepare_opened(open_artifact(place), config, backend, progress, processes, whole=whole)


def prepare_opened(
    artifact: Artifact,
    config: RunConfig,
    backend: Backend,
    progress: Progress = lambda *_: None,
    processes: Processes = ALONE,
    *,
    whole: bool = True,
    limit: Limit | None = None,
) -> Prepared:
    """The same of an artifact that was opened; `limit` is what may be taken, if not the usual."""
    samples = artifact.index.samples
    names, warnings = category_names(config, samples)
    steps = Steps.of(samples, names)
    layers = _layers(artifact, config)
    if config.looks_first:
        artifact = artifact.fetched(layers)
    host = _shared_memory(config, processes)
    plans, left_out = list[LayerPlan](), list[LeftOut]()
    for layer in layers:
        reader = artifact.open_rows(layer, config.drop_dims)
        dim, itemsize = reader.dim, reader.dtype.itemsize
        left_out.append(tokens_left_out(artifact, reader, steps, config, progress, processes))
        room = limit or Limit(host, _least(processes, backend.moment_room(dim)))
        tokens = left_out[-1].tokens
        if plans and np.array_equal(tokens, plans[-1].dropped):
            plan = plans[-1].within(room)  # layers share the pools that they have in common
        else:
            plan = plan_layer(steps, dim, itemsize, config, room, tokens)
        if whole:
            _check_memory(least_needed(plan, dim, config), room, config, backend)
        plans.append(plan)
    notes = (*artifact.warnings, *warnings)
    return Prepared(
        *(artifact, layers, names, Blocks.of(samples), tuple(plans), tuple(left_out), notes)
    )


def least_needed(plan: LayerPlan, dim: int, config: RunConfig) -> Bytes:
    """What a layer of this width takes at least, however little may be taken at a time."""
    needed, limit = plan.planned, plan.limit
    if config.jackknife == "exact" and config.weighs:
        return needed.larger(_of_one_group(plan.pairs.steps, dim, limit))
    return needed.larger(limit.place(0, 4 * 8 * dim**2)) if config.half_sample else needed


def host_memory(config: RunConfig) -> int:
    """Bytes that stored rows, and moments where they lie with them, may take."""
    return config.max_memory or int(MEMORY_SHARE * available_memory())


def _shared_memory(config: RunConfig, processes: Processes) -> int:
    """The same of processes: each has its own sums beside those of all, which are as many."""
    least = _least(processes, host_memory(config)) or 0
    return least if processes.count == 1 else least // 2


def _least(processes: Processes, room: int | None) -> int | None:
    """What each process has room for; None where one does not tell."""
    rooms = processes.gather("memory", room)
    known = [one for one in rooms if isinstance(one, int)]
    return min(known) if len(known) == len(rooms) else None


def _check_memory(needed: Bytes, limit: Limit, config: RunConfig, backend: Backend) -> None:
    """Refuse what does not fit, before anything is read."""
    if limit.holds(needed):
        return
    fewer = "ask for fewer depth bins, or for fewer or smaller counts or repeats of the sweep"
    if config.weighs:
        fewer += ", or for no exact standard errors (--jackknife first-order or off)"
    if limit.device is not None and needed.device > limit.device:
        raise UsageError(
            f"moments need at least {megabytes(needed.device)} on {device_kind(backend)}, one "
            f"pool and category at a time; {megabytes(limit.device)} of its free memory are for "
            "them. Expected more: end other programs there (or let JAX take a larger share of it: "
            f"XLA_PYTHON_CLIENT_MEM_FRACTION), {fewer}, or run with --backend cpu."
        )
    what = "rows and moments" if limit.device is None else "rows"
    given = "--max-memory" if config.max_memory else "60 % of the memory available here"
    raise UsageError(
        f"{what} need at least {megabytes(needed.host)}, one pool and category at a time; "
        f"{given} is {megabytes(limit.host)}. Expected more: give --max-memory, or {fewer}."
    )


def _of_one_group(steps: Steps, dim: int, limit: Limit) -> Bytes:
    """What the exact jackknife takes for the largest group: the moments of each trace's rows."""
    traces = len(set(steps.trace.tolist()))
    return limit.place(0, 8 * dim * min(int(steps.length.sum()), dim * (traces + 2)))


def check_draws(plan: PoolPlan, config: RunConfig, place: Place) -> None:
    """Refuse draws whose rows do not fit, before they are read."""
    needed, room = len(plan.lasting) * plan.row_bytes, host_memory(config)
    if needed > room:
        raise UsageError(
            f"the rows drawn from {place} need {megabytes(needed)}; there are "
            f"{room // 10**6:,} MB. Expected more: give --max-memory, or fewer rows (--count) or "
            "repeats."
        )


def megabytes(size: int) -> str:
    """Rounded up, so that what is said to be needed is enough."""
    return f"{math.ceil(size / 1e6):,} MB"


def category_names(
    config: RunConfig, samples: Sequence[Sample]
) -> tuple[CappedNames, tuple[str, ...]]:
    """The label map, with the smallest categories merged beyond the cap, and its warnings."""
    names = load_map(config.categories)
    label_tokens: Counter[str | None] = Counter()
    for sample in samples:
        for step in sample.steps:
            label_tokens[step.category] += step.token_end - step.token_start
    tokens: Counter[str] = Counter()
    for label, count in label_tokens.items():
        tokens[names.macro(label)] += count
    warnings = []
    unmapped = names.unmapped(label_tokens)
    if unmapped:
        shown = ", ".join(repr(label) for label in unmapped[:10])
        more = f" and {len(unmapped) - 10} more" if len(unmapped) > 10 else ""
        warnings.append(
            f"{len(unmapped)} labels are not in the category map {names.name!r} and keep their own "
            f"name: {shown}{more}."
        )
    if len(tokens) <= config.max_categories:
        return CappedNames(names), tuple(warnings)
    ranked = sorted(tokens, key=lambda macro: (-tokens[macro], macro))
    kept = frozenset(ranked[: config.max_categories - 1])
    other = OTHER
    while other in kept:
        other = f"({other})"
    warnings.append(
        f"{len(tokens)} categories are more than --max-categories {config.max_categories}: the "
        f"{len(tokens) - len(kept)} with the fewest tokens are reported together as {other!r}."
    )
    return CappedNames(names, kept, other), tuple(warnings)


def _layers(artifact: Artifact, config: RunConfig) -> tuple[Layer, ...]:
    if config.layers == "all":
        return artifact.config.layers
    if not config.layers:
        return (artifact.layer(),)
    return tuple(artifact.layer(index) for index in config.layers)
