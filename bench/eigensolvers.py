"""All eigenvalues of symmetric matrices, one and many: which solver, on this device, at what size.

`python -m bench.eigensolvers` prints a card, a table and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import jax
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench import _card, _shell
from bench._eigensolvers import Way, ways
from bench._tables import plain_table
from bench._timing import figure, take_turns
from spectra.provenance import available_memory

DIMS, BATCHES = (576, 1024, 2048, 4096), (1, 8, 64)
DTYPES = ("float64", "float32")

MEASURES = (
    "all eigenvalues of B symmetric d x d matrices (covariances of rows with eigenvalues near 1/k) "
    "in host memory, to values in host memory: time a matrix"
)
METHOD = (
    "a warm-up each, compilation included, then the ways take turns; medians. A way is left out of "
    "a cell where the time of a smaller one, scaled by d^3 and B, says that it would take longer "
    "than --limit. Error: the largest |value - truth| over the largest value; truth is NumPy's "
    "float64 eigvalsh of the first matrix"
)
FLOOR = (
    "one-stage reduction: a matrix-vector product a column reads the trailing triangle, d^3 / 6 "
    "numbers in all, at the rate at which memory is copied (each byte once read, once written)"
)

app = typer.Typer(add_completion=False)

Cell = dict[str, Any]


@app.command()
def main(
    dims: Annotated[str | None, typer.Option(help="Orders d, such as 576,1024.")] = None,
    batches: Annotated[str, typer.Option(help="Matrices at a time.")] = "1,8,64",
    dtypes: Annotated[str, typer.Option(help="float64, float32 or both.")] = "float64,float32",
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs, at least.")] = 3,
    limit: Annotated[float, typer.Option(help="Seconds that one run of a way may take.")] = 20.0,
    backend: _shell.BackendName = "auto",
    save: _shell.Save = None,
) -> None:
    """Time a matrix of each way to all eigenvalues, by order, batch and dtype."""
    _shell.check_save(save)
    orders = _shell.integers("--dims", dims) or DIMS
    counts = _counts(batches)
    kinds = _dtypes(dtypes)
    platform = _shell.chosen_backend(backend).name
    device = jax.devices(platform)[0]
    rates = _card.rates(platform, 512 if platform == "cpu" else 4096, 1 << 28)
    sizes = {
        "orders": list(orders),
        "batches": list(counts),
        "dtypes": list(kinds),
        "repeats": repeats,
        "limit_seconds": limit,
        "backend": platform,
    }
    card = _card.card("eigensolvers", f"{MEASURES}; {METHOD}", sizes, {"how": FLOOR, **rates})
    out = _shell.recorder()
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    cells = []
    with Console(stderr=True).status("") as status:
        for dtype in kinds:
            spent: dict[str, float] = {}
            for dim in sorted(orders):
                for count in sorted(counts):
                    status.update(f"{dtype}, d = {dim}, {count} at a time")
                    if 6 * 8 * count * dim**2 < available_memory():
                        contestants = ways(device, np.dtype(dtype), dim)
                        cell = _measure(dtype, dim, count, contestants, repeats, limit, spent)
                        floor = floor_seconds(dim, np.dtype(dtype).itemsize, rates)
                        cells.append(cell | {"floor_seconds": figure(floor)})
    out.print()
    out.print(_table(cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def _counts(text: str) -> tuple[int, ...]:
    if not all(item.isdigit() and int(item) for item in text.split(",")):
        raise typer.BadParameter(f"--batches {text}: expected whole numbers above 0, such as 1,8")
    return tuple(map(int, text.split(",")))


def _dtypes(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(DTYPES):
        raise typer.BadParameter(f"--dtypes {text}: expected some of {', '.join(DTYPES)}")
    return names


def covariances(dim: int, count: int, dtype: str) -> NDArray[Any]:
    """[count, dim, dim]: of 2 dim rows each, whose population has eigenvalues 1/k."""
    rng = np.random.default_rng([dim, count])
    scale = np.sqrt(1.0 / np.arange(1, dim + 1))
    found = np.empty((count, dim, dim), dtype)
    for number in range(count):
        rows = rng.standard_normal((2 * dim, dim)) * scale
        found[number] = rows.T @ rows / len(rows)
    return found


def floor_seconds(dim: int, itemsize: int, rates: Mapping[str, float]) -> float:
    """The least time a matrix, as `FLOOR` says."""
    return itemsize * dim**3 / 6 / (rates["copy_gbytes_per_s"] * 1e9)


def _measure(
    dtype: str,
    dim: int,
    count: int,
    contestants: Mapping[str, Way],
    repeats: int,
    limit: float,
    spent: dict[str, float],
) -> Cell:
    """`spent` has the largest seconds a matrix and d^3 of each way so far, and is brought up."""
    matrices = covariances(dim, count, dtype)
    truth = np.linalg.eigvalsh(matrices[0].astype(np.float64))
    tasks = {
        name: partial(way, matrices)
        for name, way in contestants.items()
        if spent.get(name, 0.0) * dim**3 * count <= limit
    }
    answers, timings = take_turns(tasks, repeats)
    for name, timing in timings.items():
        spent[name] = timing.median / count / dim**3
    return {
        "dtype": dtype,
        "dim": dim,
        "batch": count,
        "seconds_a_matrix": {n: figure(t.median / count) for n, t in timings.items()},
        "relative_error": {n: figure(_error(values[0], truth)) for n, values in answers.items()},
        "left_out": [name for name in contestants if name not in tasks],
    }


def _error(values: NDArray[Any], truth: NDArray[Any]) -> float:
    found = np.sort(values.astype(np.float64))
    return float(np.abs(found - truth).max() / truth.max())


def _table(cells: list[Cell]) -> Table:
    names = list(dict.fromkeys(name for cell in cells for name in cell["seconds_a_matrix"]))
    table = plain_table("Milliseconds a matrix (and the error); left out: – ")
    for name in ("dtype", "d", "batch", "floor", "best of floor", *names):
        table.add_column(name, justify="left" if name == "dtype" else "right")
    for cell in cells:
        seconds = cell["seconds_a_matrix"]
        texts = (
            f"{seconds[name] * 1e3:.1f} ({cell['relative_error'][name]:.0e})"
            if name in seconds
            else "–"
            for name in names
        )
        best = min(seconds.values(), default=np.inf)
        table.add_row(
            cell["dtype"],
            str(cell["dim"]),
            str(cell["batch"]),
            f"{cell['floor_seconds'] * 1e3:.2f}",
            f"{cell['floor_seconds'] / best:.0%}",
            *texts,
        )
    return table


if __name__ == "__main__":
    app()
