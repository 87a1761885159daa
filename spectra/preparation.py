"""Before any state is read: open a model directory, map its labels, plan its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from spectra.artifacts import Artifact, Layer, Sample, open_artifact
from spectra.backend import Backend, device_kind
from spectra.categories import CategoryMap, load_map
from spectra.engine import LayerPlan, Progress, RunConfig, plan_layer
from spectra.engine.memory import Bytes, Limit
from spectra.engine.stream import scan_bad_rows
from spectra.errors import UsageError
from spectra.grouping import Ints, Steps
from spectra.pooling import StepTokens
from spectra.provenance import available_memory

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
    """An opened artifact with the plan of each layer.

    Its index no longer has the steps: the plans have them as columns, in a tenth of the memory.
    """

    artifact: Artifact
    layers: tuple[Layer, ...]
    names: CappedNames
    plans: tuple[LayerPlan, ...]
    warnings: tuple[str, ...]

    @property
    def planned(self) -> Bytes:
        """The largest memory that stored rows and moments take, one layer after the other."""
        return reduce(Bytes.larger, (plan.planned for plan in self.plans))


def prepare(
    path: Path, config: RunConfig, backend: Backend, progress: Progress = lambda *_: None
) -> Prepared:
    """Open one model directory and plan it for the backend.

    Reads no states unless non-finite tokens are dropped.
    """
    artifact = open_artifact(path)
    samples = artifact.index.samples
    names, warnings = category_names(config, samples)
    steps = Steps.of(samples, names)
    layers = _layers(artifact, config)
    host = config.max_memory or int(MEMORY_SHARE * available_memory())
    plans = []
    for layer in layers:
        dropped = _dropped(artifact, layer, steps, config, progress)
        with artifact.open_rows(layer) as reader:
            dim, itemsize = reader.dim, reader.dtype.itemsize
        limit = Limit(host, backend.moment_room(dim))
        plan = plan_layer(steps, dim, itemsize, config, limit, dropped)
        _check_memory(plan.planned, limit, config, backend)
        plans.append(plan)
    bare = tuple(replace(sample, steps=()) for sample in samples)
    artifact = replace(artifact, index=replace(artifact.index, samples=bare))
    return Prepared(artifact, layers, names, tuple(plans), (*artifact.warnings, *warnings))


def _check_memory(needed: Bytes, limit: Limit, config: RunConfig, backend: Backend) -> None:
    """Refuse what does not fit, before anything is read."""
    if limit.holds(needed):
        return
    fewer = "ask for fewer depth bins, or for fewer or smaller counts or repeats of the sweep"
    if limit.device is not None and needed.device > limit.device:
        raise UsageError(
            f"moments need at least {needed.device / 1e9:.3g} GB on {device_kind(backend)}, one "
            f"pool and category at a time; {limit.device / 1e9:.3g} GB of its free memory are for "
            "them. Expected more: end other programs there (or let JAX take a larger share of it: "
            f"XLA_PYTHON_CLIENT_MEM_FRACTION), {fewer}, or run with --backend cpu."
        )
    what = "rows and moments" if limit.device is None else "rows"
    given = "--max-memory" if config.max_memory else "60 % of the memory available here"
    raise UsageError(
        f"{what} need at least {needed.host / 1e9:.3g} GB, one pool and category at a time; "
        f"{given} is {limit.host / 1e9:.3g} GB. Expected more: give --max-memory, or {fewer}."
    )


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


def _dropped(
    artifact: Artifact, layer: Layer, steps: Steps, config: RunConfig, progress: Progress
) -> Ints:
    """Sorted token rows of steps that are to be left out for not being finite."""
    if config.nonfinite != "drop":
        return np.empty(0, np.int64)
    with artifact.open_rows(layer) as reader:
        bad = scan_bad_rows(reader, lambda rows: progress("checking", rows, reader.num_rows))
    return bad[StepTokens.of(steps, np.empty(0, np.int64)).hold(bad)]
