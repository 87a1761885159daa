"""How often intervals hold what they are meant to: jackknife over traces, bootstrap over tokens.

`python -m bench.coverage` prints a card, a table and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy import stats

import spectra
from bench import _card, _shell
from bench._clustered import DESIGNS, F64, Traces
from bench._tables import plain_table
from bench._timing import figure
from spectra.grouping import Ints
from spectra.host_metrics import carried_by_blocks
from spectra.statistics import METRICS as ALL
from spectra.statistics import PRESETS, summarise
from spectra.uncertainty import delete_block_variances, variances

METRICS = ("rankme", "rankme_sigma", "alpha_req")
ROWS = (130, 500, 1500, 4500, 13000)

MEASURES = (
    "the share of replications in which a nominal 95 % interval holds the statistic's expectation "
    "at that size (its mean over the replications), for traces of one population with a known "
    "spectrum: value +- t * se with traces - 1 degrees of freedom, as in the metric files; the "
    "percentile interval of a bootstrap over tokens; and alpha's without its correction; exact / "
    "first: the delete-one-trace jackknife's standard error over the first-order one's, neither "
    "corrected, median (least-most)"
)
METHOD = (
    "se / sd: the root of the mean squared standard error over the replications' standard "
    "deviation; 1 is right. Population: the statistic of the true eigenvalues, which no sample of "
    "this size estimates, and no interval here is meant to hold"
)

app = typer.Typer(add_completion=False)

Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one data set gave, by metric.

    Attributes:
        values: the statistics.
        errors: their standard errors as in the metric files.
        plain: those without alpha's correction.
        apart: delete-one-trace standard errors over the plain ones, where asked for.
        bootstrap: [2, METRICS] the bounds of the percentile interval, where asked for.
    """

    values: list[float | None]
    errors: list[float | None]
    plain: F64
    apart: F64 | None
    bootstrap: F64 | None


Map = Callable[[Callable[[int], Drawn], Iterable[int]], Iterable[Drawn]]
"""`map` of one function over numbers, here or in other processes."""


@app.command()
def main(
    dim: Annotated[int, typer.Option(min=101, help="Width d; alpha needs 101.")] = 576,
    rows: Annotated[str | None, typer.Option(help="Group sizes, such as 500,1500.")] = None,
    traces: Annotated[int, typer.Option(min=3, help="Traces of a group.")] = 18,
    replications: Annotated[int, typer.Option(min=2, help="Data sets a cell.")] = 400,
    bootstraps: Annotated[int, typer.Option(min=0, help="Resamples of tokens; 0 for none.")] = 0,
    exact: Annotated[
        int, typer.Option(min=0, help="Data sets a cell to leave each trace out of in turn.")
    ] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Processes to share data sets.")] = 1,
    save: _shell.Save = None,
) -> None:
    """Coverage of intervals by design and group size."""
    _shell.check_save(save)
    sizes = _shell.integers("--rows", rows) or ROWS
    about = {
        "dim": dim,
        "rows": list(sizes),
        "traces": traces,
        "replications": replications,
        "bootstraps": bootstraps,
        "exact": exact,
        "populations": "Gaussian rows, eigenvalues 1/k",
        **{design.name: design.description for design in DESIGNS},
    }
    card = _card.card("coverage", f"{MEASURES}; {METHOD}", about, {"how": "none: no times"})
    out = _shell.recorder()
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    cells = []
    with Console(stderr=True).status("") as status, mapping(processes) as over:
        for design in DESIGNS:
            for size in sizes:
                status.update(f"{design.name}, {size} rows")
                data = Traces.of(design, dim, size, traces)
                cells.append(measure(data, replications, bootstraps, exact, over))
    out.print()
    out.print(_table(cells))
    if exact:
        out.print(_exact_table(cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def measure(
    data: Traces, replications: int, bootstraps: int, exact: int = 0, over: Map = map
) -> Cell:
    """Coverage and the size of standard errors, from so many independent data sets."""
    drawn = list(over(partial(draw, data, bootstraps, exact), range(replications)))
    values, errors, plain = (
        [getattr(one, name) for one in drawn] for name in ("values", "errors", "plain")
    )
    apart = [one.apart for one in drawn if one.apart is not None]
    boots = [one.bootstrap for one in drawn if one.bootstrap is not None]
    found = np.array(values, dtype=float)
    expectation, sd = found.mean(axis=0), found.std(axis=0, ddof=1)
    population = _population(data)
    quantile = float(stats.t.ppf(0.975, len(data.lengths) - 1))
    cell: Cell = {
        "design": data.design.name,
        "rows": sum(data.lengths),
        "replications": replications,
    }
    for m, name in enumerate(METRICS):
        cell[name] = {
            "coverage": _share(found[:, m], expectation[m], quantile * _column(errors, m)),
            "se_over_sd": figure(float(np.sqrt((_column(errors, m) ** 2).mean()) / sd[m])),
            "expectation": figure(float(expectation[m])),
            "population": figure(population[name]),
        }
        if name == "alpha_req":
            cell[name]["uncorrected_coverage"] = _share(
                found[:, m], expectation[m], quantile * _column(plain, m)
            )
        if apart:
            ratios = _column(apart, m)
            # Without one of its traces a group may have too few eigenvalues to fit alpha to.
            cell[name]["exact_over_first_order"] = (
                {
                    "median": figure(float(np.median(ratios))),
                    "least": figure(float(ratios.min())),
                    "most": figure(float(ratios.max())),
                }
                if np.isfinite(ratios).all()
                else None
            )
        if boots:
            low, high = np.array(boots)[:, :, m].T
            held = (low <= expectation[m]) & (expectation[m] <= high)
            # A resample repeats tokens: of 130 some 82 are left, too few to fit alpha to.
            defined = bool(np.isfinite(low).all())
            cell[name]["token_bootstrap_coverage"] = float(held.mean()) if defined else None
    return cell


def draw(data: Traces, bootstraps: int, exact: int, number: int) -> Drawn:
    """The data set of this number, its statistics and their standard errors."""
    rng = np.random.default_rng([number, len(data.lengths), sum(data.lengths), data.dim])
    x = data.draw(rng)
    record = spectra.metrics(x)
    values = [getattr(record, name) for name in METRICS]
    carried, blocks = carried_by_blocks(x, data.trace, PRESETS["default"])
    every = {name: getattr(record, name) for name in ALL}
    count, chosen = len(blocks), PRESETS["default"]
    se = carried.errors(blocks, np.arange(count), count, chosen, every, record.rank_ceiling)
    assert se is not None, "two traces give a standard error"
    squares = dict(zip(ALL, variances(carried.by_trace, len(blocks), blocks), strict=True))
    plain = np.array([np.sqrt(squares[name]) for name in METRICS], dtype=float)
    return Drawn(
        values,
        [se[name] for name in METRICS],
        plain,
        np.sqrt(_exact(x, data.trace, values)) / plain if number < exact else None,
        _bootstrap(x, bootstraps, rng) if bootstraps else None,
    )


@contextmanager
def mapping(processes: int) -> Iterator[Map]:
    """`map`, or that of so many processes, which start anew: JAX's threads forbid a fork."""
    if processes == 1:
        yield map
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield pool.map


def _column(values: Sequence[Any], place: int) -> F64:
    return np.array([one[place] for one in values], dtype=float)


def _share(values: F64, expectation: float, reach: F64) -> float:
    return float((np.abs(values - expectation) <= reach).mean())


def _exact(x: F64, trace: Ints, whole: Sequence[float | None]) -> F64:
    """[METRICS] variances by leaving each trace out in turn, without any correction."""
    sizes = np.bincount(trace)
    without = [
        [getattr(record, name) for name in METRICS]
        for record in (spectra.metrics(x[trace != one]) for one in range(len(sizes)))
    ]
    return delete_block_variances(
        np.array(whole, dtype=float), np.array(without, dtype=float), sizes
    )


def _bootstrap(x: F64, resamples: int, rng: np.random.Generator) -> F64:
    """[2, METRICS] the 2.5 % and 97.5 % quantiles over resampled tokens."""
    found = []
    for _ in range(resamples):
        record = spectra.metrics(x[rng.integers(len(x), size=len(x))])
        found.append([np.nan if (v := getattr(record, m)) is None else v for m in METRICS])
    return np.asarray(np.quantile(np.array(found, dtype=float), [0.025, 0.975], axis=0))


def _population(data: Traces) -> dict[str, float]:
    true = summarise(data.eigenvalues, np.int64(data.dim + 1), data.dim, PRESETS["default"])
    return {name: float(getattr(true, name)) for name in METRICS}


def _table(cells: Sequence[Cell]) -> Table:
    table = plain_table(
        "Coverage of nominal 95 % intervals (se / sd); by a bootstrap of tokens; alpha uncorrected"
    )
    for heading in ("design", "rows"):
        table.add_column(heading, justify="left" if heading == "design" else "right")
    boots = "token_bootstrap_coverage" in cells[0][METRICS[0]]
    for name in METRICS:
        table.add_column(name, justify="right")
        table.add_column("mean, true", justify="right")
        if boots:
            table.add_column("tokens", justify="right")
    table.add_column("alpha uncorrected", justify="right")
    for cell in cells:
        texts = [cell["design"], f"{cell['rows']:,}"]
        for name in METRICS:
            one = cell[name]
            texts.append(f"{one['coverage']:.3f} ({one['se_over_sd']:.2f})")
            texts.append(f"{one['expectation']:.4g}, {one['population']:.4g}")
            if boots:
                share = one["token_bootstrap_coverage"]
                texts.append("–" if share is None else f"{share:.3f}")
        table.add_row(*texts, f"{cell['alpha_req']['uncorrected_coverage']:.3f}")
    return table


def _exact_table(cells: Sequence[Cell]) -> Table:
    table = plain_table("Exact standard errors over first-order ones: median (least to most)")
    table.add_column("design", justify="left")
    for heading in ("rows", *METRICS):
        table.add_column(heading, justify="right")
    for cell in cells:
        ratios = [cell[name]["exact_over_first_order"] for name in METRICS]
        shown = "{median:.2f} ({least:.2f} to {most:.2f})"
        texts = ["–" if ratio is None else shown.format(**ratio) for ratio in ratios]
        table.add_row(cell["design"], f"{cell['rows']:,}", *texts)
    return table


if __name__ == "__main__":
    app()
