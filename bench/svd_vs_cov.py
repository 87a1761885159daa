"""Accuracy and time of the three routes: the engine against direct decompositions.

`python -m bench.svd_vs_cov` prints a card, tables of times and of errors over n/d and conditioning
and, as its last line, the whole as one JSON document; `--save` draws it besides. Progress goes to
stderr on a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import _accuracy, _card, _shell, _tables, picture
from bench._contestants import Way, ways
from bench._rows import SPECTRA, make_rows
from bench._timing import figure, take_turns
from spectra.backend import Backend
from spectra.extras import MissingExtraError

DIMS, RATIOS = (512, 896), (0.5, 1, 4, 16)
QUICK_DIMS, QUICK_RATIOS = (32,), (0.5, 4)

MEASURES = (
    "the spectra of the three routes (cov_centered, svd_centered, svd_uncentered) of one group of "
    "bfloat16 rows in host memory: by the engine, one reduction for all three, and by direct "
    "decompositions, eigvalsh of the covariance and an SVD each of the centred and the raw rows; "
    "NumPy decomposes float32 matrices in float64 and rounds what it returns"
)
METHOD = (
    "one process, same threads; a warm-up each, then the ways take turns; medians of wall times "
    "with the conversion from bfloat16, the engine's with its alpha fits and error bounds; truth "
    "is NumPy's float64 SVD of the same rows, κ their largest singular value, centred, over the "
    "smallest above max(n, d) eps64 |X|_F, up to which values count as zero"
)
FLOOR = (
    "Gram route in float64, k = min(n, d), m = max(n, d): (k^2 m + 4/3 k^3) flops at the measured "
    "gemm rate, or 2 n d bytes at the copy rate if that is longer. Half of the reduction is "
    "matrix-vector products, which memory holds below the gemm rate: the floor is not attainable"
)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    backend: _shell.BackendName = "auto",
    quick: Annotated[bool, typer.Option(help="A tiny grid, to see that it works.")] = False,
    dims: Annotated[str | None, typer.Option(help="Widths d, such as 256,1024.")] = None,
    rows: Annotated[
        str | None, typer.Option(help="Numbers of rows n for every d; default d/2 to 16 d.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs, at least.")] = 3,
    save: Annotated[
        Path | None,
        typer.Option(help="Keep the JSON here, the tables beside it as .txt, a picture as .svg."),
    ] = None,
) -> None:
    """Time and error of the three routes by the engine and by direct decompositions."""
    widths = _shell.integers("--dims", dims) or (QUICK_DIMS if quick else DIMS)
    counts = _shell.integers("--rows", rows)
    ratios = QUICK_RATIOS if quick else RATIOS
    grid = [
        (spectrum, dim, n)
        for spectrum in SPECTRA
        for dim in widths
        for n in counts or [int(ratio * dim) for ratio in ratios]
    ]
    _shell.check_save(save)
    chosen = _shell.chosen_backend(backend)
    out = _shell.recorder()
    card = _make_card(chosen, quick, repeats, grid)
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    cells = _measure(grid, ways(chosen), repeats, card["floor"])
    result = {"card": card, "summary": _tables.summary(cells), "cells": cells}
    for table in _tables.tables(cells):
        out.print()
        out.print(table)
    _shell.finish(out, result, save)
    if save is not None:
        draw(result, save)


def measure_cell(
    spectrum: str, dim: int, n: int, contestants: Mapping[str, Way], repeats: int
) -> dict[str, Any]:
    """One sample by every way: seconds, ratio to the engine's, errors of ranks and values."""
    sample = make_rows(spectrum, n, dim)
    tasks = {name: partial(way, sample) for name, way in contestants.items()}
    answers, timings = take_turns(tasks, repeats)
    true = _accuracy.truth(answers["numpy_float64"].spectra)
    cut = _accuracy.zero_cut(true, (n, dim))
    engine = timings["engine"].median
    return {
        "spectrum": spectrum,
        "dim": dim,
        "rows": n,
        "condition": _accuracy.conditions(true, cut),
        "truth": _accuracy.ranks(true),
        "engine_method": answers["engine"].method,
        "load_average": round(os.getloadavg()[0], 2),
        "ways": {
            name: {
                "seconds": timings[name].asdict(),
                "time_over_engine": figure(timings[name].median / engine),
                "rank_error": _accuracy.rank_errors(answer.spectra, true),
                "value_error": _accuracy.value_errors(answer.spectra, true, cut),
            }
            for name, answer in answers.items()
        },
    }


def floor_seconds(n: int, dim: int, rates: Mapping[str, float]) -> float:
    """The least time for one group, as `FLOOR` says."""
    small, large = sorted((n, dim))
    flops = small**2 * large + 4 / 3 * small**3
    compute = flops / (rates["float64_gemm_gflops"] * 1e9)
    return max(compute, 2 * n * dim / (rates["copy_gbytes_per_s"] * 1e9))


def _measure(
    grid: list[tuple[str, int, int]],
    contestants: Mapping[str, Way],
    repeats: int,
    rates: Mapping[str, Any],
) -> list[dict[str, Any]]:
    cells = []
    with Console(stderr=True).status("warming up") as status:
        for done, (spectrum, dim, n) in enumerate(grid):
            status.update(f"cell {done + 1} of {len(grid)}: {spectrum}, d = {dim}, n = {n}")
            cell = measure_cell(spectrum, dim, n, contestants, repeats)
            cells.append({**cell, "floor_seconds": figure(floor_seconds(n, dim, rates))})
    return cells


def draw(result: Mapping[str, Any], save: Path) -> None:
    """Put the picture beside the JSON, or say on stderr what it lacks."""
    # The figures are kept by now: what is not installed costs the picture only.
    try:
        picture.draw(result, save.with_suffix(".svg"))
    except MissingExtraError as error:
        typer.echo(f"No picture: {error}, then: python -m bench.picture {save}", err=True)


def _make_card(
    backend: Backend, quick: bool, repeats: int, grid: list[tuple[str, int, int]]
) -> _card.Card:
    order = 1024 if backend.name == "cpu" else 4096
    order, copied = (256, 1 << 24) if quick else (order, 1 << 29)
    rates = _card.rates(backend.name, order, copied)
    sizes = {
        "spectra": SPECTRA,
        "rows_x_dim": [
            f"{n}x{dim}" for spectrum, dim, n in grid if spectrum == next(iter(SPECTRA))
        ],
        "repeats": repeats,
        "backend": backend.name,
    }
    floor = {"how": FLOOR, **rates}
    return _card.card("svd_vs_cov", f"{MEASURES}; {METHOD}", sizes, floor)


if __name__ == "__main__":
    app()
