"""What `spectra extract` says of a plan and of a finished extraction, as JSON and as text."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spectra.cli._text import duration_text, size_text

if TYPE_CHECKING:
    from extract.estimate import Estimate
    from extract.inputs import Inputs
    from extract.pipeline import Extraction
    from extract.text import AlignmentReport


def planned(inputs: Inputs, needed: Estimate) -> dict[str, Any]:
    """A dry run as a JSON document."""
    return {
        "dry_run": True,
        "options": inputs.config.asdict(),
        "model": inputs.checkpoint.name,
        "layers": [asdict(layer) for layer in inputs.plan.layers],
        **asdict(inputs.plan.totals),
        **asdict(needed),
        "alignment": _alignment(inputs.reports),
        "warnings": list(inputs.warnings),
    }


def planned_text(found: Mapping[str, Any]) -> str:
    """The same for a reader."""
    layers = ", ".join(map(_layer_text, found["layers"]))
    batches = f"{found['batches']:,} batches of {found['shapes']} shapes"
    rate = f"{found['flops_per_second'] / 1e9:.3g} GFLOP/s"
    return (
        f"Dry run of {found['model']}: nothing is loaded or written.\n"
        f"  traces  {found['samples']:,} with {found['steps']:,} steps, {found['tokens']:,} "
        f"tokens ({found['padded_tokens']:,} with padding, in {batches})\n"
        f"  layers  {layers}\n"
        f"  writes  {found['rows']:,} rows a layer in {found['files']} shards, "
        f"{size_text(found['bytes'])}, to {found['options']['out']}/ "
        f"({size_text(found['free_bytes'])} free)\n"
        f"  memory  about {size_text(found['memory_bytes'])} for the model and a batch, "
        f"{size_text(found['weight_bytes'])} of it weights{_devices_text(found)}\n"
        f"  time    about {duration_text(found['seconds'])}, loading and compiling not counted: "
        f"{found['operations'] / 1e12:.3g} TFLOP at the {rate} of a product timed just now\n"
        f"{_alignment_text(found['alignment'])}"
    )


def _devices_text(found: Mapping[str, Any]) -> str:
    """How the model is spread, where that is over more than one device."""
    copies, degree = found["copies"], found["tensor_parallel"]
    if copies * degree == 1:
        return ""
    return f", on {copies * degree} devices ({degree} for each copy of the model)"


def done(result: Extraction) -> dict[str, Any]:
    """A finished extraction as a JSON document."""
    return {
        "path": str(result.path),
        "model": result.model,
        "layers": list(result.layers),
        **asdict(result.totals),
        "computed_tokens": result.computed_tokens,
        "seconds": round(result.seconds, 3),
        "log": None if result.log is None else str(result.log),
        "card": None if result.card is None else str(result.card),
        "alignment": _alignment(result.reports),
        "warnings": list(result.warnings),
    }


def done_text(found: Mapping[str, Any]) -> str:
    """The same for a reader."""
    how = "It was complete already: nothing was computed."
    if found["log"] is not None:
        rate = found["computed_tokens"] / max(found["seconds"], 1e-9)
        how = (
            f"Computed {found['computed_tokens']:,} tokens in "
            f"{duration_text(found['seconds'])}, {rate:,.0f} tokens/s."
        )
    layers = ", ".join(map(str, found["layers"]))
    return (
        f"{found['model']}: {found['samples']:,} traces, {found['steps']:,} steps, "
        f"{found['rows']:,} rows of layer {layers}, {size_text(found['bytes'])}. {how}\n"
        f"{_alignment_text(found['alignment'])}\n"
        f"Hidden states: {found['path']}/{_card_text(found['card'])}"
    )


def _card_text(card: str | None) -> str:
    if card is None:
        return ""
    folder = shlex.quote(os.path.dirname(card))
    return (
        f"\nDataset card: {card}; the folder is shared by\n"
        f"  hf upload OWNER/NAME {folder} --repo-type dataset"
    )


def _layer_text(layer: Mapping[str, Any]) -> str:
    return f"{layer['index']}" + (" with the final norm" if layer["final_norm"] else "")


def _alignment(reports: Mapping[str, AlignmentReport]) -> dict[str, int]:
    """The reports of all samples, added up: numbers as they are, lists by their length."""
    totals: dict[str, int] = {}
    for report in reports.values():
        for name, value in asdict(report).items():
            count = len(value) if isinstance(value, tuple) else int(value)
            totals[name] = totals.get(name, 0) + count
    return totals


def _alignment_text(alignment: Mapping[str, int]) -> str:
    return (
        f"  tokens  {alignment['response_tokens']:,} in responses, "
        f"{alignment['unassigned_tokens']:,} of them in no step; {alignment['empty_steps']:,} "
        f"steps without tokens; {alignment['borders_inside_tokens']:,} step borders inside tokens"
    )
