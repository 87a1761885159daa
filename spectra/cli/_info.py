"""`spectra info`: what an artifact holds, and what running it would take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spectra.cli import _options as options
from spectra.cli._progress import progress
from spectra.cli._text import (
    complain,
    document,
    duration_text,
    memory_text,
    say,
    size_text,
)
from spectra.printable import printable

if TYPE_CHECKING:
    from spectra.artifacts import Artifact
    from spectra.backend import Backend
    from spectra.preparation import Prepared

EXAMPLE = "spectra info annotated_traces_reprs"

_MOST_LABELS = 40
_COUNTS = ("traces", "steps", "tokens")


def info(src: options.Source, json: options.Json = False) -> None:
    """Show what is in a model directory (or several), and the time and memory a run would take."""
    from spectra import strict_json
    from spectra.artifacts import find_artifacts
    from spectra.backend import select_backend
    from spectra.engine import RunConfig
    from spectra.preparation import prepare

    backend = select_backend()
    models = []
    with progress() as tell:
        for number, place in enumerate(places := find_artifacts(src)):
            tell(f"opening {printable(place.name)}", number, len(places))
            prepared = prepare(place, RunConfig(), backend)
            estimate = _estimate(prepared, backend)
            models.append(_content(prepared.artifact) | {"estimate": estimate})
    if json:
        document(strict_json.dumps({"models": models}))
        return
    for model in models:
        _show(model)


def _content(artifact: Artifact) -> dict[str, Any]:
    from spectra.tally import tally

    config = artifact.config
    steps = [step for sample in artifact.index.samples for step in sample.steps]
    layers = [
        {
            "index": layer.index,
            "primary": layer.index == config.layer,
            "final_norm": layer.final_norm,
            "shards": len(layer.shards),
            "bytes": sum(map(artifact.size_of, layer.shards)),
        }
        for layer in config.layers
    ]
    return {
        "model": config.model,
        "path": str(artifact.origin or artifact.path),
        "hidden_dim": config.hidden_dim,
        "storage_dtype": config.storage_dtype,
        "samples": config.num_samples,
        "steps": config.num_steps,
        "tokens": config.num_tokens,
        "step_tokens": sum(step.token_end - step.token_start for step in steps),
        "bytes": sum(layer["bytes"] for layer in layers),
        "layers": layers,
        "segments": tally("segment", artifact.index.samples),
        "categories": tally("category", artifact.index.samples),
        "warnings": list(artifact.warnings),
    }


def _estimate(prepared: Prepared, backend: Backend) -> dict[str, Any]:
    from spectra.cli._estimate import START_SECONDS, estimated_seconds, measure

    rates = measure(backend, prepared.artifact.config.hidden_dim)
    (plan,) = prepared.plans
    return {
        "of": "a run with default options: the primary layer, all pools",
        "seconds": round(START_SECONDS + estimated_seconds(plan, rates), 1),
        "planned_bytes": prepared.planned.asdict(),
        "method": rates.sentence(),
    }


def _show(model: dict[str, Any]) -> None:
    from spectra.cli._tables import print_table

    for warning in model["warnings"]:
        complain(f"Warning: {warning}")
    estimate = model["estimate"]
    say(
        f"{model['model']}   {model['path']}\n"
        f"  {model['tokens']:,} tokens in {model['samples']:,} traces; "
        f"{model['steps']:,} steps with {model['step_tokens']:,} tokens\n"
        f"  {model['hidden_dim']} dimensions, {model['storage_dtype']}, {size_text(model['bytes'])}"
    )
    for layer in model["layers"]:
        norm = {True: ", final norm applied", False: "", None: ", final norm not stated"}
        say(
            f"  layer {layer['index']}{' (primary)' if layer['primary'] else ''}: "
            f"{layer['shards']} shards, {size_text(layer['bytes'])}{norm[layer['final_norm']]}"
        )
    print_table(_label_table(model))
    say(
        f"  A run with default options: about {duration_text(estimate['seconds'])} and "
        f"{memory_text(estimate['planned_bytes'])}\n"
        f"  (estimated from {estimate['method']})"
    )


def _label_table(model: dict[str, Any]) -> Any:
    from spectra.cli._tables import label_cell, new_table

    table = new_table("Segments and categories, as labelled", "label", *_COUNTS)
    for kind, none in (("segment", "(none)"), ("category", "unlabelled")):
        entries = model["segments" if kind == "segment" else "categories"]
        for entry in entries[:_MOST_LABELS]:
            label = none if entry[kind] is None else entry[kind]
            table.add_row(label_cell(label), *(f"{entry[count]:,}" for count in _COUNTS))
        if len(entries) > _MOST_LABELS:
            table.add_row(f"… and {len(entries) - _MOST_LABELS} more")
        table.add_section()
    return table
