"""`spectra run --part i/n`: one part of a run, collected for `spectra merge`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spectra import strict_json
from spectra.artifacts import find_artifacts
from spectra.atomic import free_bytes
from spectra.backend import select_backend
from spectra.cli._progress import Progress
from spectra.cli._text import document, memory_text, say, size_text
from spectra.engine import RunConfig
from spectra.jobs import run_part
from spectra.parts import Part, PartRun, check_memory, check_options, plan_part
from spectra.pipeline import output_directories
from spectra.preparation import prepare


def collect(
    src: str | Path,
    out: Path,
    part: Part,
    config: RunConfig,
    sources: Mapping[str, str],
    tell: Progress,
    fresh: bool,
) -> list[dict[str, Any]]:
    """Collect the part of each model."""
    return [
        _document(one)
        for one in run_part(src, out, part, config, sources=sources, progress=tell, fresh=fresh)
    ]


def describe(
    src: str | Path, out: Path, part: Part, config: RunConfig, tell: Progress
) -> list[dict[str, Any]]:
    """What the part of each model would read, write and need; refuses what a part refuses."""
    check_options(config)
    backend = select_backend(config.backend, config.precision, config.devices)
    models = []
    for place, target in output_directories(find_artifacts(src), out).items():
        prepared = prepare(place, config, backend, tell, whole=False)
        planned = plan_part(prepared, config, backend, part)
        check_memory(planned, part)
        artifact = prepared.artifact
        start, stop = part.span(artifact.config.num_tokens)
        width = artifact.config.hidden_dim * artifact.open_rows(prepared.layers[0]).dtype.itemsize
        models.append(
            {
                "model": artifact.config.model,
                "part": str(part),
                "rows": [start, stop],
                "layers": [layer.index for layer in prepared.layers],
                "reads_bytes": (stop - start) * width * len(prepared.layers),
                "file": str(part.path(target)),
                "bytes": planned.size,
                "free_bytes": free_bytes(target),
                "planned_bytes": planned.memory.asdict(),
            }
        )
    return models


def tell_of_parts(models: list[dict[str, Any]], *, dry_run: bool, json: bool, quiet: bool) -> None:
    """Print what was, or would be, done."""
    if json:
        document(strict_json.dumps({"dry_run": dry_run, "parts": models}))
    elif dry_run or not quiet:
        for model in models:
            say(_planned_text(model) if dry_run else _text(model))


def _document(run: PartRun) -> dict[str, Any]:
    return {
        "model": run.model,
        "part": str(run.part),
        "rows": list(run.rows),
        "file": str(run.path),
        "bytes": run.bytes,
        "written": run.written,
    }


def _text(model: dict[str, Any]) -> str:
    start, stop = model["rows"]
    done = "written" if model["written"] else "there already, left as it is"
    return (
        f"Part {model['part']} of {model['model']}: token rows {start:,} to {stop:,}, "
        f"{model['file']} ({size_text(model['bytes'])}), {done}"
    )


def _planned_text(model: dict[str, Any]) -> str:
    start, stop = model["rows"]
    return (
        f"Dry run of part {model['part']} of {model['model']}: nothing is written.\n"
        f"  would read token rows {start:,} to {stop:,} of {len(model['layers'])} layer(s), "
        f"{size_text(model['reads_bytes'])}, and up to 1,024 single rows of each layer\n"
        f"  would write about {size_text(model['bytes'])} to {model['file']} "
        f"({size_text(model['free_bytes'])} free)\n"
        f"  memory  {memory_text(model['planned_bytes'])}, beside about 0.4 GB for Python, JAX "
        "and blocks"
    )
