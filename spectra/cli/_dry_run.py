"""`spectra run --dry-run`: what a run would read, write and need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spectra import strict_json
from spectra.artifacts import find_artifacts
from spectra.atomic import free_bytes
from spectra.backend import select_backend
from spectra.cli._estimate import START_SECONDS, estimated_seconds, measure
from spectra.cli._progress import Progress
from spectra.cli._text import duration_text, memory_text, size_text
from spectra.engine import RunConfig
from spectra.outputs import (
    FILES,
    INFLUENCES_FILE,
    LAYERS_FILE,
    RUN_FILE,
    TABLE_FILE,
    check_space,
)
from spectra.pipeline import output_directories
from spectra.preparation import Prepared, prepare


def dry_run(src: str | Path, out: Path, config: RunConfig, tell: Progress, *, as_json: bool) -> str:
    """The description as text or as a JSON document; opens and plans everything, writes nothing."""
    backend = select_backend(config.backend, config.precision, config.devices)
    models = []
    for place, target in output_directories(find_artifacts(src), out).items():
        prepared = prepare(place, config, backend, tell)
        check_space(target, prepared.output_bytes(config))
        rates = measure(backend, prepared.artifact.config.hidden_dim)
        seconds = sum(estimated_seconds(plan, rates) for plan in prepared.plans)
        models.append(
            {
                "model": prepared.artifact.config.model,
                "source": str(place),
                "out": str(target),
                "reads": _reads(prepared),
                "writes": _writes(prepared, config),
                "writes_bytes": prepared.output_bytes(config),
                "free_bytes": free_bytes(target),
                "planned_bytes": prepared.planned.asdict(),
                "passes": max(plan.passes for plan in prepared.plans),
                "estimated_seconds": round(START_SECONDS + seconds, 1),
                "estimate": rates.sentence(),
                "warnings": list(prepared.warnings),
            }
        )
    document = {"dry_run": True, "options": config.asdict(), "models": models}
    return strict_json.dumps(document) if as_json else "\n".join(map(_text, models))


def _reads(prepared: Prepared) -> list[dict[str, Any]]:
    artifact = prepared.artifact
    sizes = {name: (artifact.path / name).stat().st_size for name in ("config.json", "index.json")}
    sizes |= {s.file: artifact.size_of(s) for layer in prepared.layers for s in layer.shards}
    return [
        {"file": name, "bytes": size, "download": not (artifact.path / name).exists()}
        for name, size in sizes.items()
    ]


def _writes(prepared: Prepared, config: RunConfig) -> list[str]:
    primary = prepared.artifact.config.layer
    folders = [
        f"pool_{pool}" if layer.index == primary else f"layer_{layer.index}/pool_{pool}"
        for layer in prepared.layers
        for pool in config.pools
    ]
    names = [f"{folder}/{file}" for folder in folders for file in FILES]
    tables = [TABLE_FILE, INFLUENCES_FILE] if config.influences else [TABLE_FILE]
    profile = [LAYERS_FILE] if len(prepared.layers) > 1 else []
    return [*names, *profile, *tables, RUN_FILE]


def _text(model: dict[str, Any]) -> str:
    size = sum(read["bytes"] for read in model["reads"])
    absent = sum(read["bytes"] for read in model["reads"] if read["download"])
    fetch = f", {size_text(absent)} of it to be downloaded" if absent else ""
    files = "\n".join(f"    {read['file']}" for read in model["reads"])
    writes = "\n".join(f"    {name}" for name in model["writes"])
    return (
        f"Dry run of {model['model']}: nothing is written.\n"
        f"  would read {size_text(size)} from {model['source']}/{fetch}\n{files}\n"
        f"  would write about {size_text(model['writes_bytes'])} to {model['out']}/ "
        f"({size_text(model['free_bytes'])} free)\n{writes}\n"
        f"  memory  {memory_text(model['planned_bytes'])}, in {model['passes']} "
        "pass(es) over the shards, beside about 0.4 GB for Python, JAX and blocks\n"
        f"  time    about {duration_text(model['estimated_seconds'])}: {model['estimate']}\n"
        + "".join(f"  warning {warning}\n" for warning in model["warnings"])
    ).rstrip("\n")
