"""`spectra extract --spectra`: the spectral stage on what is extracted, with or without shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra.cli import _options as options
from spectra.cli._progress import Progress
from spectra.cli._text import duration_text, size_text
from spectra.errors import UsageError

if TYPE_CHECKING:
    from extract.config import ExtractConfig
    from extract.spectral import Measurement
    from spectra.distributed import Processes
    from spectra.engine import RunConfig
    from spectra.pipeline import ModelRun

_PARSERS = {
    "pools": options.words,
    "counts": options.count_list,
    "drop_dims": options.dimension_list,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """What is to be measured.

    Attributes:
        out: metric files go to out/<name>/.
        shards: whether hidden states are written, too.
        config: all options of the spectral stage.
        sources: where they came from, for run.json.
    """

    out: Path
    shards: bool
    config: RunConfig
    sources: Mapping[str, str]


def measure_of(
    out: Path | None, no_shards: bool, given: Mapping[str, Any], sources: Mapping[str, str]
) -> Measure | None:
    """What the flags ask for; None where it is nothing. `given` are those of a run.

    Raises `UsageError`.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    of_both = ("backend", "max_memory")
    if out is None:
        names = ["no_shards"] * no_shards + [name for name in chosen if name not in of_both]
        if names:
            raise UsageError(
                f"--{names[0].replace('_', '-')} goes with --spectra, which says where metric "
                "files go. Expected both, or neither."
            )
        return None
    for name, parse in _PARSERS.items():
        if name in chosen:
            chosen[name] = parse(chosen[name])
    if no_shards:
        chosen.pop("max_memory", None)  # it is the model's, and what is left of it the run's
    config = options.configuration(**chosen, layers="all")
    if no_shards:
        from spectra.direct import check_options

        check_options(config)
    return Measure(out, not no_shards, config, {"layers": "given", **sources})


def check_place(out: Path | None, measure: Measure | None, **others: bool | None) -> Path:
    """The directory of the extraction: `--out`, or where no shards are written that of results.

    Raises `UsageError`, also for the flags among `others` that need shards and were given.
    """
    if measure is None or measure.shards:
        if out is None:
            raise UsageError(
                "--out is missing. Expected the directory of the artifact, or --spectra DIR with "
                "--no-shards for metric files alone."
            )
        return out
    for name, given in {"out": out is not None, **others}.items():
        if given:
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with --no-shards: no states are written. "
                "Leave it out here."
            )
    return measure.out


def check_measure(states: Path, measure: Measure) -> None:
    """Raise what `run_on_shards` would raise of options, before states are computed for hours."""
    from spectra.backend import select_backend
    from spectra.categories import load_map
    from spectra.pipeline import output_directories

    output_directories([states], measure.out)
    load_map(measure.config.categories)
    select_backend(measure.config.backend, measure.config.precision, measure.config.devices)


def run_on_shards(
    states: Path,
    measure: Measure,
    command: Sequence[str],
    tell: Progress,
    shared: Processes,
) -> tuple[ModelRun, ...]:
    """What `spectra run` does with the artifact that was just completed."""
    from spectra import pipeline

    return pipeline.run(
        *(states, measure.out, measure.config),
        command=command,
        sources=measure.sources,
        progress=tell,
        processes=shared,
    )


def run_without_shards(
    config: ExtractConfig, measure: Measure, command: Sequence[str], tell: Progress
) -> ModelRun:
    """The same from the model's states as they come."""
    from extract.spectral import measure as measured

    return measured(config, measure.config, command=command, sources=measure.sources, progress=tell)


def planned(config: ExtractConfig, measure: Measure, tell: Progress) -> dict[str, Any]:
    """What a run without shards would do, as a JSON document."""
    from extract.estimate import estimate
    from extract.spectral import plan_measurement
    from spectra.atomic import free_bytes
    from spectra.cli._extraction_text import planned as planned_extraction
    from spectra.outputs import check_space

    found = plan_measurement(config, measure.config, tell)
    size = found.plan.prepared.output_bytes(measure.config)
    check_space(found.out, size)
    document = planned_extraction(found.inputs, estimate(found.inputs))
    return {
        **{name: value for name, value in document.items() if name not in ("shards", "files")},
        "measured": measure.config.asdict(),
        "out": str(found.out),
        "bytes": size,
        "free_bytes": free_bytes(found.out),
        "passes": found.plan.passes.asdict(),
        "lots": _lots(found),
        "planned_bytes": found.plan.asdict(),
        "memory_bytes": found.plan.memory.host + found.plan.memory.device,
        "warnings": list(found.plan.prepared.warnings),
    }


def _lots(found: Measurement) -> list[list[int]]:
    layers = found.plan.prepared.layers
    return [[layers[number].index for number in lot] for lot in found.plan.lots]


def planned_text(found: Mapping[str, Any]) -> str:
    """The same for a reader."""
    passes, memory = found["passes"], found["planned_bytes"]
    kinds = [
        f"{passes[kind]} {what}"
        for kind, what in (
            ("filling", "to collect rows and moments"),
            ("weighing", "for standard errors"),
            ("looking", "or more to look at rows again"),
        )
        if passes[kind]
    ]
    lots = " | ".join(", ".join(map(str, lot)) for lot in found["lots"])
    rate = f"{found['flops_per_second'] / 1e9:.3g} GFLOP/s"
    seconds = found["seconds"] * passes["at_least"]
    return (
        f"Dry run of {found['model']} without shards: nothing is loaded or written.\n"
        f"  traces  {found['samples']:,} with {found['steps']:,} steps, {found['tokens']:,} "
        f"tokens ({found['padded_tokens']:,} with padding, in {found['batches']:,} batches of "
        f"{found['shapes']} shapes)\n"
        f"  layers  {lots}" + (" (lots have passes of their own)" if "|" in lots else "") + "\n"
        f"  passes  {passes['at_least']} of the model at least: {', '.join(kinds)}; more where "
        "spectra are not resolved by their moments\n"
        f"  writes  about {size_text(found['bytes'])} to {found['out']}/ "
        f"({size_text(found['free_bytes'])} free), and no states\n"
        f"  memory  {_both(memory['total'])}: {_both(memory['model'])} for the model "
        f"and its batches, {_both(memory['states'])} for states on the way, "
        f"{_both(memory['collected'])} for rows and moments; beside about "
        f"{size_text(memory['process']['host'])} for Python, JAX and what it compiles\n"
        f"  time    about {duration_text(seconds)}, loading, compiling and solving not counted: "
        f"{found['operations'] / 1e12:.3g} TFLOP a pass at the {rate} of a product timed just now"
    )


def _both(memory: Mapping[str, int]) -> str:
    host = size_text(memory["host"])
    device = f" and {size_text(memory['device'])} on the device"
    return host + (device if memory["device"] else "")
