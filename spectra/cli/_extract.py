"""`spectra extract`: annotated traces through a model, hidden states to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._config import ConfigFile
from spectra.cli._extraction_text import done, done_text, planned, planned_text
from spectra.cli._processes import (
    Coordinator,
    Distributed,
    NumProcesses,
    ProcessId,
    processes,
)
from spectra.cli._progress import Progress, progress
from spectra.cli._text import complain, document, say
from spectra.errors import UsageError

if TYPE_CHECKING:
    from extract.config import ExtractConfig
    from spectra.distributed import Processes

EXAMPLE = (
    "spectra extract traces.jsonl.xz --model Qwen/Qwen3-4B-Thinking-2507 "
    "--out annotated_traces_reprs/qwen3-4b-thinking-2507 --layers 18,-1"
)

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
    Path,
    typer.Option(
        metavar="DIR",
        help="The artifact's directory, such as annotated_traces_reprs/NAME; a run that was "
        "stopped goes on there.",
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
    traces: Traces,
    model: Model,
    out: Out,
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

    choices: dict[str, Any] = {
        "revision": revision,
        "layers": options.parsed(options.layer_choice, layers),
        "final_norm": final_norm,
        "only_step_tokens": only_step_tokens,
        "limit": limit,
        "compute_dtype": compute_dtype,
        "rope_variant": rope_variant,
        "max_tokens_per_batch": max_tokens_per_batch,
        "max_memory": options.parsed(options.size, max_memory),
        "tensor_parallel": tensor_parallel,
        "backend": backend,
        "fresh": fresh,
        "push_layout": push_layout,
    }
    given = {name: value for name, value in choices.items() if value is not None}
    config = ExtractConfig(traces=traces, model=model, out=out, **given)
    if dry_run and distributed:
        raise UsageError(
            "--dry-run and --distributed were both given. Expected one of them: a dry run tells "
            "what all processes compute and write together, and needs one process."
        )
    with processes(
        "spectra extract", distributed, coordinator, num_processes, process_id
    ) as shared:
        others = shared.rank > 0
        with progress(quiet or others, unit="tokens") as tell:
            found = _plan(config, tell) if dry_run else _run(config, tell, shared)
    if others:
        return
    for warning in () if quiet else found["warnings"]:
        complain(f"Warning: {warning}")
    if json:
        from spectra import strict_json

        document(strict_json.dumps(found))
    elif not quiet:
        say(planned_text(found) if dry_run else done_text(found))


def _plan(config: ExtractConfig, tell: Progress) -> dict[str, Any]:
    from extract.estimate import check_memory, estimate
    from extract.inputs import gather

    inputs = gather(config, tell)
    check_memory(inputs)
    return planned(inputs, estimate(inputs))


def _run(config: ExtractConfig, tell: Progress, shared: Processes) -> dict[str, Any]:
    from extract.pipeline import run

    return done(run(config, progress=tell, processes=shared))
