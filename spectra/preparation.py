"""Before any state is read: open a model directory, map its labels, plan its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spectra.artifacts import Artifact, Layer, Sample, open_artifact
from spectra.categories import CategoryMap, load_map
from spectra.engine import LayerPlan, Progress, RunConfig, plan_layer
from spectra.engine.stream import scan_bad_rows
from spectra.grouping import Ints, Steps
from spectra.provenance import available_memory

OTHER = "(other)"
MEMORY_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Prepared:
    """An opened artifact with the plan of each layer."""

    artifact: Artifact
    layers: tuple[Layer, ...]
    names: CategoryMap
    plans: tuple[LayerPlan, ...]
    warnings: tuple[str, ...]


def prepare(path: Path, config: RunConfig, progress: Progress = lambda *_: None) -> Prepared:
    """Open and plan one model directory; reads no states unless non-finite tokens are dropped."""
    artifact = open_artifact(path)
    samples = artifact.index.samples
    names, warnings = category_names(config, samples)
    steps = Steps.of(samples, names)
    layers = _layers(artifact, config)
    limit = config.max_memory or int(MEMORY_SHARE * available_memory())
    plans = []
    for layer in layers:
        dropped = _dropped(artifact, layer, config, progress)
        with artifact.open_rows(layer) as reader:
            dim, itemsize = reader.dim, reader.dtype.itemsize
        plans.append(plan_layer(steps, dim, itemsize, config, limit, dropped))
    return Prepared(artifact, layers, names, tuple(plans), (*artifact.warnings, *warnings))


def category_names(
    config: RunConfig, samples: Sequence[Sample]
) -> tuple[CategoryMap, tuple[str, ...]]:
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
    if len(tokens) > config.max_categories:
        ranked = sorted(tokens, key=lambda macro: (-tokens[macro], macro))
        kept = set(ranked[: config.max_categories - 1])
        merged = {
            label: OTHER
            for label in label_tokens
            if label is not None and names.macro(label) not in kept
        }
        names = replace(names, labels={**names.labels, **merged})
        warnings.append(
            f"{len(tokens)} categories are more than --max-categories {config.max_categories}: the "
            f"{len(tokens) - len(kept)} with the fewest tokens are reported together as {OTHER!r}."
        )
    return names, tuple(warnings)


def _layers(artifact: Artifact, config: RunConfig) -> tuple[Layer, ...]:
    if config.layers == "all":
        return artifact.config.layers
    if not config.layers:
        return (artifact.layer(),)
    return tuple(artifact.layer(index) for index in config.layers)


def _dropped(artifact: Artifact, layer: Layer, config: RunConfig, progress: Progress) -> Ints:
    if config.nonfinite != "drop":
        return np.empty(0, np.int64)
    with artifact.open_rows(layer) as reader:
        return scan_bad_rows(reader, lambda rows: progress("checking", rows, reader.num_rows))
