"""Whether p-values are uniform where nothing is to be found, and small where something is.

`python -m bench.chance` prints a card, a table and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import ml_dtypes
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy import stats

from bench import _card, _shell
from bench._tables import plain_table
from bench._timing import figure
from spectra import RunConfig
from spectra.artifacts import Sample, Step, write_artifact
from spectra.chance import baselines
from spectra.compare import compare
from spectra.grouping import Group
from spectra.sources import Source

DIM, STEPS, TOKENS = 24, 10, 8
METRICS = ("rankme", "rankme_sigma", "participation_ratio")
DIFFERENCES = (0.0, 0.05, 0.1, 0.2)
LEVEL = 0.05
GROUP = Group("category", None, "a")

MEASURES = (
    "p-values of `spectra baselines` (labels permuted within traces) and of `spectra compare` "
    "(paired differences of two models) over data sets of known populations: eigenvalues k^-1, "
    "traces with means of their own, tokens that follow one another (AR(1), 0.5); a planted "
    "difference d makes it k^-(1 - d) for one label, or for the second model"
)
METHOD = (
    "where nothing is planted, Kolmogorov and Smirnov's test of the p-values against the uniform "
    "distribution (those of permutations, which are multiples of 1 / (N + 1), spread evenly below "
    f"their step) and the share at or below {LEVEL:g}; that share is the power where something is"
)

app = typer.Typer(add_completion=False)

Cell = dict[str, Any]


@app.command()
def main(
    runs: Annotated[int, typer.Option(min=2, help="Data sets where nothing is planted.")] = 500,
    power_runs: Annotated[int, typer.Option(min=2, help="Those of each difference.")] = 100,
    permutations: Annotated[int, typer.Option(min=1, help="Of the labels, N.")] = 99,
    traces: Annotated[int, typer.Option(min=3, help="Traces of a data set.")] = 16,
    save: _shell.Save = None,
) -> None:
    """Uniformity and power of p-values."""
    _shell.check_save(save)
    about = {
        "data": f"{traces} traces x {STEPS} steps x {TOKENS} tokens, d = {DIM}, two labels",
        "runs": runs,
        "power_runs": power_runs,
        "permutations": permutations,
    }
    card = _card.card("chance", f"{MEASURES}; {METHOD}", about, {"how": "none: no times"})
    out = _shell.recorder()
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    tests: Mapping[str, Callable[[Path, float, int], dict[str, float | None]]] = {
        "labels permuted": lambda path, planted, seed: permuted(
            path, planted, seed, traces, permutations
        ),
        "paired models": lambda path, planted, seed: paired(path, planted, seed, traces),
    }
    cells = []
    with Console(stderr=True).status("") as status:
        for name, test in tests.items():
            for planted in DIFFERENCES:
                found: dict[str, list[float]] = {metric: [] for metric in METRICS}
                for seed in range(runs if planted == 0 else power_runs):
                    status.update(f"{name}, difference {planted:g}: data set {seed}")
                    with tempfile.TemporaryDirectory() as scratch:
                        for metric, p in test(Path(scratch), planted, seed).items():
                            if p is not None:
                                found[metric].append(p)
                step = 1 / (permutations + 1) if name == "labels permuted" else 0.0
                cells += [_cell(name, planted, metric, ps, step) for metric, ps in found.items()]
    out.print()
    out.print(_table(cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def permuted(
    path: Path, planted: float, seed: int, traces: int, permutations: int
) -> dict[str, float | None]:
    """P-values of the label a, whose rows are the flatter ones."""
    src = write(path / "m", seed, traces, of_label=planted)
    config = RunConfig(backend="cpu", repeats=1, seed=seed)
    found = baselines(Source(src), config, permutations=permutations, gaussians=2)
    _, _, metrics = found.groups[GROUP]
    return {metric: metrics[metric].p for metric in METRICS}


def paired(path: Path, planted: float, seed: int, traces: int) -> dict[str, float | None]:
    """P-values of all rows of two models, the second of which is flatter."""
    sources = [
        Source(write(path / name, seed, traces, of_model=flatter, model=number))
        for number, (name, flatter) in enumerate((("a", 0.0), ("b", planted)))
    ]
    (pair,) = compare(sources, RunConfig(backend="cpu", repeats=1, seed=seed)).pairs
    whole = next(one for one in pair.groups if one.group.kind == "global")
    return {metric: whole.differences[metric].p for metric in METRICS}


def write(
    path: Path,
    seed: int,
    traces: int,
    *,
    of_label: float = 0.0,
    of_model: float = 0.0,
    model: int = 0,
) -> Path:
    """A data set; two models of one seed have the same traces and labels, and other states."""
    labels = np.random.default_rng([seed, 0]).integers(2, size=(traces, STEPS))
    rng = np.random.default_rng([seed, 1, model])
    ranks, length = np.arange(1.0, DIM + 1), STEPS * TOKENS
    samples, states = [], []
    for trace in range(traces):
        noise = rng.standard_normal((length, DIM))
        for token in range(1, length):
            noise[token] = 0.5 * noise[token - 1] + np.sqrt(0.75) * noise[token]
        exponent = 1 - of_model - of_label * np.repeat(labels[trace] == 0, TOKENS)
        rows = noise + 0.3 * rng.standard_normal(DIM)
        states.append(rows * ranks ** (-exponent[:, None] / 2))
        at = trace * length
        steps = tuple(
            Step(
                *(k * TOKENS, (k + 1) * TOKENS, at + k * TOKENS, at + (k + 1) * TOKENS),
                *("thought", "ab"[labels[trace, k]]),
            )
            for k in range(STEPS)
        )
        samples.append(Sample(f"t{trace}", None, at, length, 0, steps))
    layer = np.concatenate(states).astype(ml_dtypes.bfloat16)
    return write_artifact(path, model="m", layers={1: layer}, samples=samples, final_norm=False)


def _cell(name: str, planted: float, metric: str, ps: list[float], step: float) -> Cell:
    values = np.array(ps)
    cell = {
        "test": name,
        "planted": planted,
        "metric": metric,
        "runs": len(ps),
        "at_or_below": figure(float(np.mean(values <= LEVEL))),
        "ks": None,
        "ks_p": None,
    }
    if planted == 0:
        spread = values - step * np.random.default_rng(0).random(len(values))
        test = stats.kstest(spread, "uniform")
        cell |= {"ks": figure(float(test.statistic)), "ks_p": figure(float(test.pvalue))}
    return cell


def _table(cells: list[Cell]) -> Table:
    table = plain_table(f"Shares of p-values at or below {LEVEL:g}, and their uniformity")
    for name in cells[0]:
        text = isinstance(cells[0][name], str)
        table.add_column(name.replace("_", " "), justify="left" if text else "right")
    for cell in cells:
        table.add_row(*("" if value is None else str(value) for value in cell.values()))
    return table


if __name__ == "__main__":
    app()
