"""`spectra.run`: from model directories to metric files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

from spectra.artifacts import Place, find_artifacts
from spectra.backend import Backend, precision_advice, select_backend
from spectra.distributed import ALONE, Processes
from spectra.engine import (
    STREAMED,
    Clock,
    Exchanged,
    LayerResult,
    Progress,
    RunConfig,
    compile_ahead,
    evaluate_layer,
)
from spectra.errors import InputError
from spectra.gathering import Gathered, add_pool, add_whole_files, nonfinite_warnings
from spectra.grouping import Group
from spectra.left_out import locator
from spectra.linalg import Fault
from spectra.outputs import (
    check_space,
    commit,
    pool_records,
    rounding_warnings,
    run_lock,
)
from spectra.parts import Parts, fingerprint
from spectra.preparation import Prepared, prepare
from spectra.printable import printable
from spectra.provenance import Accuracy, Stages, input_identity, versions
from spectra.record import Record
from spectra.results.records import records_html, records_text


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds of one model's run.

    Attributes:
        stages: wall time of each stage, one after the other.
        work: by kind of work, the seconds that threads spent on it within the stage `main`.
        solvers: what reduced how many matrices, of which orders.
    """

    stages: dict[str, float]
    work: dict[str, float]
    solvers: dict[str, dict[str, int]]
    main: ClassVar[str] = "read, multiply, solve"


@dataclass(frozen=True, slots=True, repr=False)
class ModelRun:
    """What one model directory gave.

    Attributes:
        model: its name from config.json.
        out: the directory written.
        records: by layer and pool, the record of each group.
        matched: the same, of the comparisons at matched counts by kind of group (see
            `basic_metrics.json`); empty where they were not asked for.
        warnings: sentences on what was odd but legal.
        undefined: how many groups have rows, but no value other than counts.
        overlapping_steps: how many steps overlap an earlier step of their sample.
        accuracy: how exact the numbers are.
        profile: where the time went, if that was asked for.
    """

    model: str
    out: Path
    records: dict[tuple[int, str], dict[Group, Record]]
    matched: dict[tuple[int, str], dict[str, dict[str, Any]]]
    warnings: tuple[str, ...]
    undefined: int
    overlapping_steps: int
    accuracy: Accuracy
    profile: Profile | None = None

    def __repr__(self) -> str:
        layer, pool = next(iter(self.records))
        head = printable(f"ModelRun: {self.model} in {self.out}; layer {layer}, pool {pool} of")
        return f"{head} {len(self.records)}\n{records_text(self.records[layer, pool])}"

    def _repr_html_(self) -> str:
        return "".join(
            records_html(f"{self.model}, layer {layer}, pool {pool}", records)
            for (layer, pool), records in self.records.items()
        )


def run(
    src: str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    command: Sequence[str] = (),
    sources: Mapping[str, str] = {},
    progress: Progress = lambda stage, done, total: None,
    profile: bool = False,
    processes: Processes = ALONE,
) -> tuple[ModelRun, ...]:
    """Compute the metric files of one model directory, or of every one in their parent.

    Args:
        src: a directory with config.json, or the parent of several; here, or in a dataset of the
            hub: hf://datasets/OWNER/NAME[@REVISION]/PATH.
        out: results go to out/<directory name>/.
        config: all options; the defaults if None.
        command: the command line, for run.json.
        sources: where the options came from that were not left at their defaults, such as "given"
            or "config", for run.json.
        progress: told of each stage's progress.
        profile: whether to find out where the time goes.
        processes: those that share the work, all of which call this alike; the first one writes,
            and all return what it wrote.

    Raises:
        InputError: something under src is missing, malformed or contradicts itself.
        UsageError: an option cannot be met here, or processes differ in what they were given.
        DirectoryBusyError, OutputError: another run writes there, or it cannot be written to.
        PeerError: another process ended.
    """
    config = config or RunConfig()
    backend = select_backend(config.backend, config.precision, config.devices)
    origin = {"command": list(command), "options": options_record(config, sources)}
    setting = Setting(config, backend, origin, progress, processes)
    places = output_directories(find_artifacts(src), Path(out))
    runs = []
    for place, target in places.items():
        clock = Clock() if profile else None
        with run_lock(target) if setting.writes else nullcontext():
            runs.append(run_model(place, target, setting, clock))
            processes.gather("written", runs[-1].model)
    return tuple(runs)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the models of a run have in common.

    Attributes:
        config: all options.
        backend: where to compute.
        origin: the command and the options, for run.json.
        progress: told of each stage's progress.
        processes: those that share the work.
    """

    config: RunConfig
    backend: Backend
    origin: dict[str, Any]
    progress: Progress
    processes: Processes = ALONE

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self.processes.rank == 0


def run_model(
    place: Place,
    out: Path,
    setting: Setting,
    clock: Clock | None = None,
    opened: Callable[[Path, Prepared, RunConfig, Backend], Parts] | None = None,
) -> ModelRun:
    """Compute one model's files and write them; with `opened`, from parts in place of a pass.

    The directory `out` is locked by the caller, if this process writes.
    """
    stages, config, backend = Stages(), setting.config, setting.backend
    progress, processes = setting.progress, setting.processes
    with stages("plan"):
        prepared = prepare(place, config, backend, progress, processes).without_steps()
        if setting.writes:
            check_space(out, prepared.output_bytes(config))
        mark = fingerprint(prepared, config, backend, {})
        processes.agree("the plan", {**mark, **prepared.course()})
        parts = None if opened is None else opened(out, prepared, config, backend)
    progress("fetching", 0, 0)
    with stages("fetch"):
        prepared = prepared.fetched()
    passing = STREAMED if processes.count == 1 else Exchanged(processes)

    provenance: dict[str, Any] = {} if parts is None else {"parts": parts.of}

    def evaluated() -> Iterator[LayerResult]:
        for layer, plan in zip(prepared.layers, prepared.plans, strict=True):
            source = passing if parts is None else parts.layers[layer.index]
            with prepared.artifact.open_rows(layer, config.drop_dims) as reader:
                found = evaluate_layer(
                    plan, reader, config, backend, progress, prepared.blocks, clock, source
                )
            if processes.count > 1:
                exchanged = processes.traffic.asdict()
                provenance.update(processes=processes.count, exchanged=exchanged)
            yield found

    task = Task(prepared, out, config, backend, setting.origin, stages, clock, setting.writes)
    return finish_model(task, evaluated(), provenance)


@dataclass(frozen=True, slots=True)
class Task:
    """A model's run, planned.

    Attributes:
        prepared: the artifact with the plan of each layer.
        out: the directory that is written, locked by the caller.
        config: all options.
        backend: where to compute.
        origin: the command and the options, for run.json.
        stages: the time that stages took so far.
        clock: finds out where the time goes, if that was asked for.
        writes: whether this process writes the files.
    """

    prepared: Prepared
    out: Path
    config: RunConfig
    backend: Backend
    origin: dict[str, Any]
    stages: Stages
    clock: Clock | None = None
    writes: bool = True


def finish_model(
    task: Task, evaluated: Iterator[LayerResult], provenance: Mapping[str, Any]
) -> ModelRun:
    """Compute a model's files from what its layers give, one after the other, and write them.

    `provenance` is what run.json is to have beside, or in place of, what it has of every run.
    """
    prepared, out, config, stages = task.prepared, task.out, task.config, task.stages
    backend, clock = task.backend, task.clock
    artifact, samples = prepared.artifact, prepared.artifact.index.samples
    locate, mode = locator(samples), backend.mode
    gathered = Gathered([*prepared.warnings, *precision_advice(backend, config.precision)])
    with ThreadPoolExecutor(1) as beside:
        dim = artifact.config.hidden_dim - len(set(config.drop_dims))
        compiled = beside.submit(compile_ahead, dim, config.chosen, backend.name)
        for layer, left_out in zip(prepared.layers, prepared.left_out, strict=True):
            with stages(Profile.main):
                found = next(evaluated)
            gathered.add_faults(layer.index, found)
            results = found.pools
            with stages("statistics"):
                compiled.result()
                for result in results:
                    made = pool_records(
                        result, prepared.blocks, config.chosen, backend.name, samples
                    )
                    pool, whole = result.plan.rows.pool, made.records[Group("global")]
                    gathered.warnings += rounding_warnings(layer.index, pool, whole, result.stored)
                    add_pool(gathered, prepared, layer, left_out, result, made, config, mode)
            gathered.warnings += nonfinite_warnings(layer, left_out, results, locate)
    add_whole_files(gathered, prepared, config)
    accuracy = Accuracy.of(mode, gathered.errors)
    gathered.warnings += accuracy.warnings()
    record = _provenance(prepared, gathered, config, backend, accuracy, stages) | dict(provenance)
    if clock is not None:
        record |= {"work_seconds": clock.asdict(), "solvers": clock.solvers()}
    if task.writes:
        with stages("write"):
            commit(out, gathered.files, {"format_version": 1, **task.origin, **record})
    undefined = sum(
        record.num_rows > 0 and record.status not in ("ok", "short_spectrum")
        for record in gathered.every_record()
    )
    return ModelRun(
        artifact.config.model,
        out,
        gathered.records,
        gathered.matched,
        tuple(gathered.warnings),
        undefined,
        artifact.index.overlapping_steps,
        accuracy,
        None if clock is None else Profile(stages.seconds(), clock.asdict(), clock.solvers()),
    )


def _provenance(
    prepared: Prepared,
    gathered: Gathered,
    config: RunConfig,
    backend: Backend,
    accuracy: Accuracy,
    stages: Stages,
) -> dict[str, Any]:
    methods = Counter(str(record.method) for record in gathered.every_record())
    return {
        "versions": versions(),
        "backend": _device(backend),
        "precision": asdict(accuracy),
        "convention": config.chosen.asdict(),
        "seed": config.seed,
        "input": input_identity(prepared.artifact),
        "layers": [layer.index for layer in prepared.layers],
        "methods": dict(sorted(methods.items())),
        "repairs": {fault: gathered.repairs[fault] for fault in get_args(Fault)},
        "device_memory_exhausted": gathered.exhausted,
        "planned_bytes": prepared.planned.asdict(),
        "passes": max(plan.passes for plan in prepared.plans),
        "warnings": gathered.warnings,
        "stages": stages.asdict(),
    }


def options_record(config: RunConfig, sources: Mapping[str, str]) -> dict[str, Any]:
    """The options as run.json has them, each with where it came from."""
    return {
        name: {"value": value, "source": sources.get(name, "default")}
        for name, value in config.asdict().items()
    }


def _device(backend: Backend) -> dict[str, Any]:
    import jax

    kind = jax.local_devices(backend=backend.name)[0].device_kind
    return {"name": backend.name, "kind": kind, "count": backend.count}


def output_directories(places: Sequence[Place], out: Path) -> dict[Place, Path]:
    """Where the results of each model directory go: out/<its name>, links not followed.

    Raises:
        InputError: two would share a place, or one lies in a model directory.
    """
    targets = {place: out / _name(place) for place in places}
    for place, target in targets.items():
        for source in (place for place in places if isinstance(place, Path)):
            if source.resolve() in (target.resolve(), *target.resolve().parents):
                raise InputError(
                    f"the output {target} lies in the input {source}. Expected another place: "
                    "choose --out so that results and hidden states stay apart."
                )
        if list(targets.values()).count(target) > 1:
            raise InputError(
                f"the results of {place} and of another model would both go to {target}. Expected "
                "model directories of different names: run them with an --out each."
            )
    return targets


def _name(place: Place) -> str:
    return Path(os.path.abspath(place)).name if isinstance(place, Path) else place.name
