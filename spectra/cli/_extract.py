"""`spectra extract`: annotated traces through a model, hidden states to an artifact."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _measure as measuring
from spectra.cli import _options as options
from spectra.cli._config import ConfigFile, sources
from spectra.cli._extraction_text import done, done_text, planned, planned_text
from spectra.cli._processes import (
    Coordinator,
    Distributed,
    NumProcesses,
    ProcessId,
    processes,
)
from spectra.cli._progress import Progress, progress
from spectra.cli._run import refuse_with, show, warn
from spectra.cli._text import complain, document, say

if TYPE_CHECKING:
    from extract.config import ExtractConfig
    from spectra.distributed import Processes
    from spectra.pipeline import ModelRun

EXAMPLE = (
    "spectra extract traces.jsonl.xz --model Qwen/Qwen3-4B-Thinking-2507 "
    "--out annotated_traces_reprs/qwen3-4b-thinking-2507 --layers 18,-1\n\n  "
    "spectra extract traces.jsonl.xz --model Qwen/Qwen3-4B-Thinking-2507 --layers 18,-1 "
    "--spectra spectral_metrics --no-shards"
)

_LEFT = "The batches that are finished are kept"
"""Of an extraction that several processes share, when one of them ends it."""

_WHAT, _HOW = "What is saved", "How it is computed"

Traces = Annotated[
    Path,
    typer.Argument(metavar="TRACES", help="Annotated traces, JSON Lines, plain, .xz, .gz or .zst."),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="NAME|DIR|FILE.gguf",
        help="A model of the hub by name, a Hugging Face directory, or a GGUF file.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The artifact's directory, such as annotated_traces_reprs/NAME; a run that was "
        "stopped goes on there. Needed but with --no-shards.",
        show_default=False,
    ),
]
SpectraOut = Annotated[
    Path | None,
    typer.Option(
        "--spectra",
        metavar="DIR",
        help="Measure all layers then, as `spectra run` does; metric files go to DIR/NAME/.",
        show_default="no measuring",
    ),
]
NoShards = Annotated[
    bool | None,
    typer.Option(
        "--no-shards",
        help="With --spectra: write no states; they are measured as the model computes them. "
        "Nothing is kept of a run that is stopped.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        metavar="REV",
        help="Branch, tag or commit of a model of the hub.",
        show_default="main",
        rich_help_panel=_HOW,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        metavar=options.LIST,
        help='Layers: 0 the embeddings, k after block k, -1 the last; or "all".',
        show_default="-1",
        rich_help_panel=_WHAT,
    ),
]
FinalNorm = Annotated[
    str | None,
    options.choice(
        "auto|on|off",
        help="Apply the model's final norm: to the last layer alone (auto), to all, to none.",
        show_default="auto",
        rich_help_panel=_WHAT,
    ),
]
OnlyStepTokens = Annotated[
    bool | None,
    typer.Option(
        "--only-step-tokens",
        help="Save the states of tokens that are in a step and no others.",
        rich_help_panel=_WHAT,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", help="Traces to take.", show_default="all", rich_help_panel=_WHAT),
]
ComputeDtype = Annotated[
    str | None,
    options.choice(
        "auto|float32|bfloat16",
        help="Arithmetic of the forward pass; auto is float32 on a CPU, else bfloat16.",
        show_default="auto",
        rich_help_panel=_HOW,
    ),
]
RopeVariant = Annotated[
    str | None,
    options.choice(
        "per_layer_type|all_layers",
        help="Olmo 3's rotary scaling on full-attention layers, as trained; or on all, as "
        "transformers 5.0 to 5.12 had it.",
        show_default="per_layer_type",
        rich_help_panel=_HOW,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens-per-batch",
        metavar="N",
        help="Tokens of a batch, padding included.",
        show_default="512 on a CPU, else 16384",
        rich_help_panel=_HOW,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar=options.SIZE,
        help="Memory for weights and batches where they are computed, such as 12G or 500M (powers "
        "of 1024); what needs more is refused.",
        show_default="what is free there",
        rich_help_panel=_HOW,
    ),
]
TensorParallel = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Devices that a copy of the model is spread over; further devices hold further "
        "copies, and batches are dealt out to them. 0 for as few as hold the model.",
        show_default="0",
        rich_help_panel=_HOW,
    ),
]
Fresh = Annotated[
    bool | None,
    typer.Option("--fresh", help="Delete what DIR holds of an artifact and start over."),
]
PushLayout = Annotated[
    bool | None,
    typer.Option(
        "--push-layout",
        help="Write README.md, the card of a dataset, beside DIR: of all artifacts there, so that "
        "the folder can be uploaded to the hub as it is. Another README.md is never replaced.",
        rich_help_panel=_WHAT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Say what would be computed, written and needed; load and write nothing."
    ),
]


def extract(  # noqa: PLR0913, PLR0917 - a parameter for each flag
    ctx: typer.Context,
    traces: Traces,
    model: Model,
    out: Out = None,
    config_file: ConfigFile = None,
    revision: Revision = None,
    layers: Layers = None,
    final_norm: FinalNorm = None,
    only_step_tokens: OnlyStepTokens = None,
    limit: Limit = None,
    compute_dtype: ComputeDtype = None,
    rope_variant: RopeVariant = None,
    max_tokens_per_batch: MaxTokens = None,
    max_memory: MaxMemory = None,
    tensor_parallel: TensorParallel = None,
    backend: options.BackendChoice = None,
    fresh: Fresh = None,
    push_layout: PushLayout = None,
    spectra: SpectraOut = None,
    no_shards: NoShards = None,
    pools: options.Pools = None,
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
    devices: options.Devices = None,
    precision: options.PrecisionChoice = None,
    dry_run: DryRun = False,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run annotated traces through a model and save hidden states, ready for `spectra run`."""
    from extract.config import ExtractConfig

    memory = options.parsed(options.size, max_memory)
    measured: dict[str, Any] = {
        "pools": pools,
        "convention": convention,
        "categories": categories,
        "max_categories": max_categories,
        "num_bins": num_bins,
        "depth": depth,
        "counts": counts,
        "repeats": repeats,
        "seed": seed,
        "sampling": sampling,
        "matched": matched,
        "diagnostics": diagnostics,
        "jackknife": jackknife,
        "influences": influences,
        "half_sample": half_sample,
        "drop_first": drop_first,
        "drop_dims": drop_dims,
        "drop_norms": drop_norms,
        "nonfinite": nonfinite,
        "devices": devices,
        "precision": precision,
        "backend": backend,
        "max_memory": memory,
    }
    measure = measuring.measure_of(spectra, bool(no_shards), measured, sources(ctx, measured))
    choices: dict[str, Any] = {
        "revision": revision,
        "layers": options.parsed(options.layer_choice, layers),
        "final_norm": final_norm,
        "only_step_tokens": only_step_tokens,
        "limit": limit,
        "compute_dtype": compute_dtype,
        "rope_variant": rope_variant,
        "max_tokens_per_batch": max_tokens_per_batch,
        "max_memory": memory,
        "tensor_parallel": tensor_parallel,
        "backend": backend,
        "fresh": fresh,
        "push_layout": push_layout,
    }
    place = measuring.check_place(out, measure, fresh=fresh, push_layout=push_layout)
    given = {name: value for name, value in choices.items() if value is not None}
    config = ExtractConfig(traces=traces, model=model, out=place, **given)
    if distributed:
        refuse_with("distributed", dry_run=dry_run, no_shards=bool(no_shards))
    cluster = (distributed, coordinator, num_processes, process_id)
    with processes("spectra extract", *cluster, left=_LEFT) as shared:
        found, text, runs = _carried_out(config, measure, shared, dry_run=dry_run, quiet=quiet)
    if shared.rank:
        return
    for warning in () if quiet or found is None else found["warnings"]:
        complain(f"Warning: {warning}")
    if json:
        document(_document(found, measure, runs))
    elif not quiet:
        if text:
            say(text)
        show(runs)
    if not quiet:
        warn(runs)


def _carried_out(
    config: ExtractConfig,
    measure: measuring.Measure | None,
    shared: Processes,
    *,
    dry_run: bool,
    quiet: bool,
) -> tuple[dict[str, Any] | None, str, tuple[ModelRun, ...]]:
    """What is to be told of the extraction, as a document and as text, and what was measured."""
    command, quiet = ("spectra", *sys.argv[1:]), quiet or shared.rank > 0
    if measure is not None and measure.shards:
        measuring.check_measure(config.out, measure)
    with progress(quiet, unit="tokens") as tell:
        if measure is not None and not measure.shards:
            if dry_run:
                plan = measuring.planned(config, measure, tell)
                return plan, measuring.planned_text(plan), ()
            return None, "", (measuring.run_without_shards(config, measure, command, tell),)
        if dry_run:
            found = _plan(config, tell)
            if measure is None:
                return found, planned_text(found), ()
            then = f"\n  then    all layers measured, to {measure.out}/"
            return found | {"spectra": str(measure.out)}, planned_text(found) + then, ()
        found = _run(config, tell, shared)
    if measure is None:
        return found, done_text(found), ()
    with progress(quiet) as tell:
        runs = measuring.run_on_shards(config.out, measure, command, tell, shared)
    return found, done_text(found), runs


def _document(
    found: Mapping[str, Any] | None, measure: measuring.Measure | None, runs: tuple[ModelRun, ...]
) -> str:
    from spectra import strict_json
    from spectra.cli._summary import as_document

    if measure is None or (found is not None and "dry_run" in found):
        return strict_json.dumps(found)
    models = [as_document(run) for run in runs]
    return strict_json.dumps({"extraction": found, "models": models})


def _plan(config: ExtractConfig, tell: Progress) -> dict[str, Any]:
    from extract.estimate import check_memory, estimate
    from extract.inputs import gather

    inputs = gather(config, tell)
    check_memory(inputs)
    return planned(inputs, estimate(inputs))


def _run(config: ExtractConfig, tell: Progress, shared: Processes) -> dict[str, Any]:
    from extract.pipeline import run

    return done(run(config, progress=tell, processes=shared))
