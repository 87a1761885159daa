"""Weak scaling over loopback: so many times the rows for so many processes, a core each.

`python -m bench.weak_scaling` prints a card, a table and, as its last line, the whole as one JSON
document.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import _card, _shell
from bench._children import JobError
from bench._synthetic import Size, write
from bench._timing import figure
from bench._together import run_together
from bench.scaling import table

MEASURES = (
    "`spectra run --distributed` as 1, 2, ... processes over loopback, each on one core, on so "
    "many times the traces; the same width, categories and bins, so as many decompositions"
)
METHOD = (
    "medians over rounds in which every number of processes has its turn, after a warm-up round; "
    "seconds are those of the stage `read, multiply, solve` in process 0's run.json; bytes, and "
    "seconds that arrays were on their way, are what it exchanged; waiting is until the others "
    "were there, too"
)
FLOOR = "the time of one process on one core: rows a process stay the same, decompositions do not"

app = typer.Typer(add_completion=False)


@app.command()
def main(
    dim: Annotated[int, typer.Option(min=2, help="Width d.")] = 576,
    traces: Annotated[int, typer.Option(min=1, help="Of 960 tokens, a process.")] = 60,
    processes: Annotated[str, typer.Option(help="Numbers of processes, such as 2,4.")] = "2",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    save: _shell.Save = None,
) -> None:
    """One process on its rows, against several on as many each."""
    _shell.check_save(save)
    counts = (1, *_shell.integers("--processes", processes))
    sizes = {count: Size(dim, count * traces) for count in counts}
    out = _shell.recorder()
    measured = {str(count): size.describe() for count, size in sizes.items()}
    card = _card.card(
        "weak_scaling",
        f"{MEASURES}; {METHOD}",
        {"processes": measured, "repeats": repeats},
        {"how": FLOOR},
    )
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch, Console(stderr=True).status("") as status:
        try:
            sources = {n: write(Path(scratch) / f"x{n}", size) for n, size in sizes.items()}
            found: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
            for turn in range(repeats + 1):
                for count in counts:
                    status.update(f"round {turn} of {repeats}, {count} processes")
                    taken = once(sources[count], count, Path(scratch) / "out")
                    if turn:
                        found[count].append(taken)
        except JobError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
    alone = _median(found[1], "seconds")
    cells = [cell(sizes[count], count, taken, alone) for count, taken in found.items()]
    out.print()
    out.print(table("Weak scaling", cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def once(src: Path, count: int, out: Path) -> dict[str, float]:
    """Seconds, and what was exchanged, of one job."""
    where = ("--out", str(out), "--backend", "cpu", "--quiet")
    run_together(("spectra.cli", "run", str(src), *where), count)
    record = json.loads((out / src.name / "run.json").read_text())
    exchanged = record.get("exchanged", {"bytes": 0, "seconds": 0.0, "waiting_seconds": 0.0})
    return {
        "seconds": record["stages"]["read, multiply, solve"]["seconds"],
        "bytes": exchanged["bytes"],
        "exchanging": exchanged["seconds"],
        "waiting": exchanged["waiting_seconds"],
    }


def cell(size: Size, count: int, taken: list[dict[str, float]], alone: float) -> dict[str, Any]:
    """A line of the table."""
    seconds, exchanging = _median(taken, "seconds"), _median(taken, "exchanging")
    return {
        "processes": count,
        "rows": size.rows,
        "seconds": figure(seconds),
        "over_one_process": figure(seconds / alone),
        "sent_mb": figure(_median(taken, "bytes") / 1e6),
        "exchanging_seconds": figure(exchanging),
        "exchanging_share": figure(exchanging / seconds),
        "waiting_seconds": figure(_median(taken, "waiting")),
        "mb_a_second": figure(_median(taken, "bytes") / 1e6 / exchanging) if exchanging else None,
    }


def _median(taken: list[dict[str, float]], name: str) -> float:
    return median(one[name] for one in taken)


if __name__ == "__main__":
    app()
