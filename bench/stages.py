"""Where the time of a run goes, at a size of your choice, and what more rows cost.

`python -m bench.stages` prints a card, three tables and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from bench import _card, _shell
from bench._children import Cost, JobError, run_child
from bench._streaming import products
from bench._synthetic import Size, write
from bench._tables import plain_table
from bench._timing import figure, take_turns
from bench.scaling import table as scaling_table
from spectra import RunConfig, run
from spectra.backend import BackendName

MEASURES = (
    "`spectra run` over an artifact of the published dataset's width and labels, all pools and "
    "files, as processes of their own; products of rows in memory; and what more rows cost: one "
    "pool, one bin and one small subsample over a quarter of the traces and over all, in this "
    "process, where programs are compiled already"
)
METHOD = (
    "a process once, the file being in the page cache; stages and work are the run's own count, "
    "for which products wait for each other. Threads work side by side, so work adds up to more "
    "than the wall time. Products and rows: medians after a warm-up, tasks in turns"
)
FLOOR = "the products alone: 2 d^2 flops a row of each pool at the rate of a matrix product"

PRODUCT_ROWS = 32768

JOBS: Mapping[str, tuple[str, ...]] = {
    "no standard errors": ("--profile", "--jackknife", "off"),
    "whole job": ("--profile",),
}

app = typer.Typer(add_completion=False)


@app.command()
def main(
    dim: Annotated[int, typer.Option(min=2, help="Width d.")] = 4096,
    traces: Annotated[int, typer.Option(min=4, help="Of 960 tokens each.")] = 240,
    errors: Annotated[bool, typer.Option(help="With standard errors, too.")] = True,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of products and rows.")] = 3,
    backend: _shell.BackendName = "auto",
    save: _shell.Save = None,
) -> None:
    """Time and memory of a run, split by stage and by kind of work."""
    _shell.check_save(save)
    made = _shell.chosen_backend(backend)
    chosen, jobs = made.name, {}
    whole, part = Size(dim, traces), Size(dim, traces // 4)
    rates = _card.rates(chosen, 1024 if chosen == "cpu" else 8192, 1 << 28)
    sizes = {"artifact": whole.describe(), "rows": whole.rows, "backend": chosen}
    card = _card.card("stages", f"{MEASURES}; {METHOD}", sizes, {"how": FLOOR, **rates})
    out = _shell.recorder()
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch, Console(stderr=True).status("") as status:
        try:
            status.update("writing the artifacts")
            here = Path(scratch)
            paths = [write(here / f"traces{size.traces}", size) for size in (part, whole)]
            for name, options in list(JOBS.items())[: 1 + errors]:
                status.update(name)
                cost = run_child(_run(paths[1], chosen, here / "out", *options))
                jobs[name] = _split(cost, here / "out" / paths[1].name / "run.json")
            status.update("products, and rows alone")
            rates_of_rows = products(made, dim, PRODUCT_ROWS, repeats)
            _, timings = take_turns(
                {path.name: partial(_rows_alone, path, chosen, here / "rows") for path in paths},
                repeats,
            )
        except JobError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
    seconds = [timings[path.name].median for path in paths]
    found = {
        "jobs": jobs,
        "products": rates_of_rows,
        "rows_alone": _slope(seconds, part.rows, whole.rows),
    }
    for table in _tables(found):
        out.print()
        out.print(table)
    _shell.finish(out, {"card": card, **found}, save)


def _rows_alone(path: Path, backend: str, out: Path) -> None:
    """What a run takes that has little to do but to read and to multiply."""
    config = RunConfig(
        backend=cast("BackendName", backend),
        pools=("all",),
        num_bins=1,
        counts=(32,),
        repeats=1,
        jackknife="off",
    )
    run(path, out, config)


def _run(path: Path, backend: str, out: Path, *options: str) -> tuple[str, ...]:
    where = ("--out", str(out), "--backend", backend, "--quiet")
    return ("spectra.cli", "run", str(path), *where, *options)


def _split(cost: Cost, provenance: Path) -> dict[str, Any]:
    """What a run says of itself, beside what the system says of its process."""
    told = json.loads(provenance.read_text(encoding="utf-8"))
    stages = {name: figure(stage["seconds"]) for name, stage in told["stages"].items()}
    return {
        "seconds": figure(cost.seconds),
        "peak_bytes": cost.peak_bytes,
        "planned_bytes": told["planned_bytes"],
        "passes": told["passes"],
        "stages": stages,
        "start_and_write": figure(cost.seconds - sum(stages.values())),
        "work": {name: figure(spent) for name, spent in told["work_seconds"].items()},
        "solvers": told["solvers"],
    }


def _slope(seconds: Sequence[float], fewer: int, more: int) -> dict[str, Any]:
    part, whole = seconds
    return {
        "rows": [fewer, more],
        "seconds": [figure(part), figure(whole)],
        "seconds_a_million_more": figure((whole - part) / (more - fewer) * 1e6),
    }


def _tables(found: Mapping[str, Any]) -> Iterator[Table]:
    jobs, alone = found["jobs"], found["rows_alone"]
    lines = {name: _lines(job) for name, job in jobs.items()}
    times = plain_table("Where the time goes: seconds")
    times.add_column("")
    for name in jobs:
        times.add_column(name, justify="right")
    for label in next(iter(lines.values())):
        times.add_row(label, *(f"{of_job[label]:,}" for of_job in lines.values()))
    yield times
    solvers = plain_table("Reductions")
    for name in ("job", "solver", "matrices", "smallest", "largest"):
        solvers.add_column(name)
    for name, job in jobs.items():
        for solver, used in job["solvers"].items():
            solvers.add_row(name, solver, *map(str, used.values()))
    yield solvers
    yield scaling_table("Products of rows in memory", [found["products"]])
    rows = plain_table("Rows alone")
    for name in ("rows", "seconds"):
        rows.add_column(name, justify="right")
    for count, spent in zip(alone["rows"], alone["seconds"], strict=True):
        rows.add_row(f"{count:,}", str(spent))
    rows.add_row("a million more", str(alone["seconds_a_million_more"]))
    yield rows


def _lines(job: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a job, each under its label."""
    return {
        "process": job["seconds"],
        "  start, writing the files": job["start_and_write"],
        **{f"  {stage}": spent for stage, spent in job["stages"].items()},
        **{f"    threads: {work}": spent for work, spent in job["work"].items()},
        "peak of memory, MB": round(job["peak_bytes"] / 1e6),
        "planned on the device, MB": round(job["planned_bytes"]["device"] / 1e6),
    }


if __name__ == "__main__":
    app()
