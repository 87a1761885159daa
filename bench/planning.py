"""What `spectra plan` says of runs that can be made here, against those runs.

`python -m bench.planning` prints a card, a table and, as its last line, the whole as one JSON
document.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench import _card, _shell
from bench._children import JobError, run_child
from bench._synthetic import Size, write
from bench._tables import plain_table
from bench._timing import figure
from spectra import strict_json
from spectra.backend import select_backend
from spectra.cli._plan_rates import measured
from spectra.engine import RunConfig
from spectra.pipeline import Profile
from spectra.planning import Outline, Rates, planned

DIMS = (128, 256)
CATEGORIES = 8
"""Of the synthetic artifacts."""

MEASURES = (
    "seconds, memory and passes that `spectra plan` tells for an artifact's numbers, with rates "
    "measured just before each run, against `spectra run` on that artifact, on the CPU"
)
METHOD = (
    "seconds are those that run.json has for its stages `plan` and `read, multiply, solve`; the "
    "plan leaves out start-up, statistics and writing, and so does the ratio, planned over "
    "measured; `wall` has the whole process. The artifacts have three steps of four in one "
    "segment, and random categories, where the plan has even ones"
)
FLOOR = {"how": "none: a plan is compared with what it foretells"}
_STAGES = ("plan", Profile.main)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    dims: Annotated[str | None, typer.Option(help="Widths, such as 256,512.")] = None,
    traces: Annotated[int, typer.Option(min=1, help="Of 960 tokens each.")] = 10,
    save: _shell.Save = None,
) -> None:
    """Planned and measured seconds, with standard errors and without."""
    _shell.check_save(save)
    sizes = [Size(dim, traces) for dim in _shell.integers("--dims", dims) or DIMS]
    described = {"artifacts": [size.describe() for size in sizes]}
    card = _card.card("planning", f"{MEASURES}; {METHOD}", described, FLOOR)
    out = _shell.recorder()
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    cells = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for size in sizes:
                src = write(Path(scratch) / f"d{size.dim}", size)
                for jackknife in ("first-order", "off"):
                    cells.append(compared(size, src, jackknife, Path(scratch) / "out"))
        except JobError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
    out.print()
    out.print(table(cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def compared(size: Size, src: Path, jackknife: str, out: Path) -> dict[str, Any]:
    """The plan of an artifact, and its run."""
    rates, _ = measured(select_backend("cpu"), size.dim)
    made = _planned(size, jackknife, rates)
    where = ("--out", str(out), "--backend", "cpu", "--quiet", "--jackknife", jackknife)
    cost = run_child(("spectra.cli", "run", str(src), *where))
    record = json.loads((out / src.name / "run.json").read_text(encoding="utf-8"))
    seconds = sum(record["stages"][name]["seconds"] for name in _STAGES)
    total = made["seconds"]["total"]
    return {
        "d": size.dim,
        "rows": size.rows,
        "jackknife": jackknife,
        "planned_seconds": figure(total),
        "measured_seconds": figure(seconds),
        "ratio": figure(total / seconds),
        "wall": figure(cost.seconds),
        "planned_mb": figure(made["memory"]["planned"]["host"] / 1e6),
        "measured_mb": figure(record["planned_bytes"]["host"] / 1e6),
        "planned_passes": made["reads"]["passes"],
        "measured_passes": record["passes"],
        "by_stage": {
            name: figure(made["seconds"][name])
            for name in ("draws", "collecting", "solving", "weighing")
        },
        "rates": strict_json.loads(strict_json.dumps(rates.asdict()).encode(), where="rates"),
    }


def _planned(size: Size, jackknife: str, rates: Rates) -> dict[str, Any]:
    outline = Outline(
        tokens=size.rows,
        dim=size.dim,
        categories=CATEGORIES,
        tokens_per_step=size.tokens,
        traces=size.traces,
    )
    chosen: Any = jackknife
    return planned(outline, RunConfig(jackknife=chosen), rates)


def table(cells: list[dict[str, Any]]) -> Table:
    """A line a run."""
    made = plain_table("Planned and measured; MB are the record's planned_bytes of both")
    names = [name for name in cells[0] if name not in ("by_stage", "rates")]
    for name in (*names, "planned by stage"):
        made.add_column(name.replace("_", " "), justify="right")
    for cell in cells:
        stages = ", ".join(f"{name} {seconds:.2g}" for name, seconds in cell["by_stage"].items())
        made.add_row(*(_text(cell[name]) for name in names), stages)
    return made


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"


if __name__ == "__main__":
    app()
