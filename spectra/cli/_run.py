"""`spectra run`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._config import GIVEN, ConfigFile, sources
from spectra.cli._processes import (
    Coordinator,
    Distributed,
    NumProcesses,
    ProcessId,
    processes,
)
from spectra.cli._progress import progress
from spectra.cli._repeat import other_input
from spectra.cli._source import source
from spectra.cli._text import complain, document, say
from spectra.errors import UndefinedGroupsError, UsageError

if TYPE_CHECKING:
    from spectra.pipeline import ModelRun

EXAMPLE = "spectra run annotated_traces_reprs --out spectral_metrics --pools all,mean --bins 5"

SourceOrDefault = Annotated[
    str | None,
    typer.Argument(
        metavar="SRC",
        help=options.SOURCE_HELP,
        show_default="./annotated_traces_reprs if present, else embedded states of SmolLM2-135M",
    ),
]
Out = Annotated[Path, typer.Option(help="Results go to OUT/<model directory>/.")]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit with 4 when groups have no value or steps overlap; the files are written still.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be read, written and needed; write nothing."),
]
PartChoice = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Collect just part I of N of the token rows, I from 0 on, for `spectra merge`.",
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="With --part: collect it again, whatever file is there.")
]
Profile = Annotated[bool, typer.Option("--profile", help="Print where the time went.")]


def run(  # noqa: PLR0913, PLR0917 - a parameter for each flag
    ctx: typer.Context,
    src: SourceOrDefault = None,
    config_file: ConfigFile = None,
    out: Out = Path("spectral_metrics"),
    pools: options.Pools = None,
    layers: options.Layers = None,
    categories: options.Categories = None,
    max_categories: options.MaxCategories = None,
    num_bins: options.NumBins = None,
    depth: options.Depth = None,
    convention: options.ConventionName = None,
    counts: options.Counts = None,
    repeats: options.Repeats = None,
    seed: options.Seed = None,
    sampling: options.Sampling = None,
    matched: options.Matched = None,
    diagnostics: options.Diagnostics = None,
    jackknife: options.Jackknife = None,
    influences: options.Influences = None,
    half_sample: options.HalfSample = None,
    drop_first: options.DropFirst = None,
    drop_dims: options.DropDims = None,
    drop_norms: options.DropNorms = None,
    nonfinite: options.NonFinite = None,
    backend: options.BackendChoice = None,
    devices: options.Devices = None,
    precision: options.PrecisionChoice = None,
    max_memory: options.MaxMemory = None,
    part: PartChoice = None,
    fresh: Fresh = False,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
    strict: Strict = False,
    dry_run: DryRun = False,
    profile: Profile = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute the metric files of one model directory, or of every one in their parent."""
    choices: dict[str, Any] = {
        "pools": options.parsed(options.words, pools),
        "layers": options.parsed(options.layer_choice, layers),
        "convention": convention,
        "categories": categories,
        "max_categories": max_categories,
        "num_bins": num_bins,
        "depth": depth,
        "counts": options.parsed(options.count_list, counts),
        "repeats": repeats,
        "seed": seed,
        "sampling": sampling,
        "matched": matched,
        "diagnostics": diagnostics,
        "jackknife": jackknife,
        "influences": influences,
        "half_sample": half_sample,
        "drop_first": drop_first,
        "drop_dims": options.parsed(options.dimension_list, drop_dims),
        "drop_norms": drop_norms,
        "nonfinite": nonfinite,
        "backend": backend,
        "devices": devices,
        "precision": precision,
        "max_memory": options.parsed(options.size, max_memory),
    }
    config = options.configuration(**choices)
    path = source(src, quiet=quiet)
    unlike = None if quiet else other_input(ctx.meta.get(GIVEN), path)
    if unlike is not None:
        complain(f"Warning: {unlike}")
    came_from = sources(ctx, choices)
    cluster = (distributed, coordinator, num_processes, process_id)
    sharing = distributed or cluster[1:] != (None, None, None)
    with progress(quiet) as tell:
        if part is not None:
            from spectra.cli import _part
            from spectra.parts import Part

            refuse_with("part", strict=strict, profile=profile, distributed=sharing)
            which = Part.parse(part)
            models = (
                _part.describe(path, out, which, config, tell)
                if dry_run
                else _part.collect(path, out, which, config, came_from, tell, fresh)
            )
            _part.tell_of_parts(models, dry_run=dry_run, json=json, quiet=quiet)
            return
        if fresh:
            raise UsageError("--fresh goes with --part. Expected both, or neither.")
        if dry_run:
            refuse_with("dry-run", distributed=sharing)
            from spectra.cli._dry_run import dry_run as describe

            text = describe(path, out, config, tell, as_json=json)
            (document if json else say)(text)
            return
        with processes("spectra run", *cluster) as shared:
            from spectra import pipeline

            runs = pipeline.run(
                path,
                out,
                config,
                command=("spectra", *sys.argv[1:]),
                sources=came_from,
                progress=tell if shared.rank == 0 else _silence,
                profile=profile,
                processes=shared,
            )
    if shared.rank == 0:
        finish(runs, strict=strict, json=json, quiet=quiet)


def refuse_with(what: str, **flags: bool) -> None:
    """Raise `UsageError` for flags that do not go with another."""
    for name, given in flags.items():
        if given:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} does not go with --{what}. Leave one of them out.")


def _silence(stage: str, done: int, total: int) -> None:
    """Says nothing: one process tells of the progress of all."""


def finish(runs: tuple[ModelRun, ...], *, strict: bool, json: bool, quiet: bool) -> None:
    """Print warnings and what was found; raises `UndefinedGroupsError` where strict."""
    if not quiet:
        warn(runs)
    if json:
        from spectra import strict_json
        from spectra.cli._summary import as_document

        document(strict_json.dumps({"models": [as_document(run) for run in runs]}))
    elif not quiet:
        show(runs)
    if strict:
        _judge(runs)


def warn(runs: tuple[ModelRun, ...]) -> None:
    """Print the warnings of all models on stderr, each once."""
    for warning in dict.fromkeys(warning for run in runs for warning in run.warnings):
        complain(f"Warning: {warning}")


def show(runs: tuple[ModelRun, ...]) -> None:
    """Print what was found, as tables."""
    from spectra.cli._summary import closing, profile_table, summaries
    from spectra.cli._tables import print_table

    for run in runs:
        for table in summaries(run):
            print_table(table)
        if run.profile is not None:
            print_table(profile_table(run.model, run.profile))
        say(closing(run))


def _judge(runs: tuple[ModelRun, ...]) -> None:
    """Raise `UndefinedGroupsError` for what `--strict` does not accept."""
    undefined = [f"{run.undefined} groups of {run.model}" for run in runs if run.undefined]
    overlaps = [
        f"steps of {run.model} that overlap an earlier one: {run.overlapping_steps}"
        for run in runs
        if run.overlapping_steps
    ]
    found = [f"{' and '.join(undefined)} have no value (see their reasons)"] if undefined else []
    found += overlaps
    if found:
        raise UndefinedGroupsError(
            f"everything was written, but under --strict {'; '.join(found)}. Expected a value for "
            "every group and no overlapping steps; leave --strict out to accept them."
        )
