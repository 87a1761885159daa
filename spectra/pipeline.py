"""`spectra.run`: from model directories to metric files."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spectra import strict_json
from spectra.artifacts import Artifact, Layer, Sample, find_artifacts, open_artifact
from spectra.backend import Backend, select_backend
from spectra.categories import CategoryMap, load_map
from spectra.engine import LayerPlan, PoolResult, RunConfig, evaluate_layer, plan_layer
from spectra.engine.stream import scan_bad_rows
from spectra.errors import InputError
from spectra.grouping import Group, Ints, Steps
from spectra.outputs import (
    TABLE_FILE,
    Head,
    PoolRecords,
    SweepOptions,
    commit,
    documents,
    pool_records,
    pool_rows,
    table,
)
from spectra.provenance import Stages, available_memory, input_identity, versions
from spectra.record import Record

OTHER = "(other)"
MEMORY_SHARE = 0.6
Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and its whole."""


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What one model directory gave.

    Attributes:
        model: its name from config.json.
        out: the directory written.
        records: by layer and pool, the record of each group.
        warnings: sentences on what was odd but legal.
        undefined: how many groups have rows, but no value other than counts.
        overlapping_steps: how many steps overlap an earlier step of their sample.
    """

    model: str
    out: Path
    records: dict[tuple[int, str], dict[Group, Record]]
    warnings: tuple[str, ...]
    undefined: int
    overlapping_steps: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An opened artifact with the plan of each layer."""

    artifact: Artifact
    layers: tuple[Layer, ...]
    names: CategoryMap
    plans: tuple[LayerPlan, ...]
    warnings: tuple[str, ...]


def run(
    src: str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    command: Sequence[str] = (),
    given: Iterable[str] = (),
    progress: Progress = lambda stage, done, total: None,
) -> tuple[ModelRun, ...]:
    """Compute the metric files of one model directory, or of every one in their parent.

    Args:
        src: a directory with config.json, or the parent of several.
        out: results go to out/<directory name>/.
        config: all options; the defaults if None.
        command: the command line, for run.json.
        given: names of the options that were given rather than left at their defaults, for
            run.json.
        progress: told of each stage's progress.

    Raises:
        InputError: something under src is missing, malformed or contradicts itself.
        UsageError: an option cannot be met here.
    """
    config = config or RunConfig()
    backend = select_backend(config.backend)
    origin = {"command": list(command), "options": _options(config, set(given))}
    return tuple(
        _run_model(path, output_directory(path, Path(out)), config, backend, origin, progress)
        for path in find_artifacts(src)
    )


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


def _run_model(
    path: Path,
    out: Path,
    config: RunConfig,
    backend: Backend,
    origin: dict[str, Any],
    progress: Progress,
) -> ModelRun:
    stages = Stages()
    with stages("plan"):
        prepared = prepare(path, config, progress)
    model = prepared.artifact.config.model
    locate = locator(prepared.artifact.index.samples)
    files: dict[str, bytes] = {}
    rows: list[tuple[Any, ...]] = []
    records: dict[tuple[int, str], dict[Group, Record]] = {}
    warnings = list(prepared.warnings)
    methods: Counter[str] = Counter()
    for layer, plan in zip(prepared.layers, prepared.plans, strict=True):
        with prepared.artifact.open_rows(layer) as reader, stages("read, multiply, solve"):
            results = evaluate_layer(plan, reader, config, backend, progress, locate)
        for result in results:
            with stages("statistics"):
                made = pool_records(result, plan.pairs, config.chosen, backend.name, locate)
            pool = result.plan.rows.pool
            records[layer.index, pool] = made.records
            methods.update(str(record.method) for record in made.records.values())
            rows += pool_rows(model, layer.index, pool, result.plan.rows.atoms, made)
            files |= _pool_files(prepared, layer, result, made, config)
        warnings += _nonfinite_warnings(layer, plan, results, locate)
    files[TABLE_FILE] = table(iter(rows))
    run_record = {
        "format_version": 1,
        **origin,
        "versions": versions(),
        "backend": _device(backend),
        "precision": "exact: float64 products, reductions and solves",
        "convention": config.chosen.asdict(),
        "seed": config.seed,
        "input": input_identity(prepared.artifact),
        "layers": [layer.index for layer in prepared.layers],
        "methods": dict(sorted(methods.items())),
        "planned_bytes": max((plan.planned_bytes for plan in prepared.plans), default=0),
        "sweeps": max((len(plan.sweeps) for plan in prepared.plans), default=1),
        "warnings": warnings,
        "stages": stages.asdict(),
    }
    commit(out, files, run_record)
    overlapping = prepared.artifact.index.overlapping_steps
    undefined = sum(
        record.num_rows > 0 and record.status not in ("ok", "short_spectrum")
        for group_records in records.values()
        for record in group_records.values()
    )
    return ModelRun(model, out, records, tuple(warnings), undefined, overlapping)


def _pool_files(
    prepared: Prepared,
    layer: Layer,
    result: PoolResult,
    records: PoolRecords,
    config: RunConfig,
) -> dict[str, bytes]:
    """File name, relative to the model's output directory, to content."""
    artifact, rows = prepared.artifact, result.plan.rows
    head = Head(
        artifact.config.model,
        layer.index,
        layer.final_norm,
        rows.pool,
        artifact.config.hidden_dim,
        config.chosen.asdict(),
        {
            "map": prepared.names.name,
            "source": prepared.names.source,
            "labels": dict(sorted(prepared.names.labels.items())),
        },
    )
    sweep = SweepOptions(result.plan.counts, config.repeats, config.seed, rows.pool)
    primary = layer.index == artifact.config.layer
    folder = f"pool_{rows.pool}" if primary else f"layer_{layer.index}/pool_{rows.pool}"
    contents = documents(head, rows.atoms, records, sweep, config.depth)
    return {
        f"{folder}/{name}": strict_json.dumps(content).encode()
        for name, content in contents.items()
    }


def locator(samples: Sequence[Sample]) -> Callable[[int], str]:
    """Names a global token row: its sample and its place in it."""
    ordered = sorted(samples, key=lambda sample: sample.global_offset)
    offsets = [sample.global_offset for sample in ordered]

    def locate(row: int) -> str:
        sample = ordered[bisect_right(offsets, row) - 1]
        return f"sample {sample.sample_id!r}, token {row - sample.global_offset} (row {row})"

    return locate


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


def _nonfinite_warnings(
    layer: Layer, plan: LayerPlan, results: Sequence[PoolResult], locate: Callable[[int], str]
) -> list[str]:
    found = np.unique(np.concatenate([plan.dropped, *(result.bad_tokens for result in results)]))
    if len(found) == 0:
        return []
    what = "were left out" if len(plan.dropped) else "leave their groups undefined"
    return [
        f"layer {layer.index}: {len(found)} token rows hold NaN or infinity and {what}, the "
        f"first at {locate(int(found[0]))}."
    ]


def _options(config: RunConfig, given: set[str]) -> dict[str, Any]:
    return {
        name: {"value": value, "source": "given" if name in given else "default"}
        for name, value in config.asdict().items()
    }


def _device(backend: Backend) -> dict[str, Any]:
    import jax

    devices = jax.devices(backend.name)
    return {"name": backend.name, "kind": devices[0].device_kind, "count": len(devices)}


def output_directory(path: Path, out: Path) -> Path:
    """Where the results of the model directory `path` go: out/<its name>.

    Raises:
        InputError: that is the model directory itself, or lies in it.
    """
    source = path.resolve()
    target = out / source.name
    if target.resolve() == source or source in target.resolve().parents:
        raise InputError(
            f"the output {target} lies in the input {path}. Expected another place: choose --out "
            "so that results and hidden states stay apart."
        )
    return target
