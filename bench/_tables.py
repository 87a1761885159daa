"""The figures of `svd_vs_cov` as tables, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from rich.table import Table

Cell = dict[str, Any]

MEASURES = {
    "rank_error": "Relative error of the effective rank",
    "value_error": "Largest relative error of a singular value",
}


def summary(cells: list[Cell]) -> dict[str, Any]:
    """Time ratios by width and by how the engine got there; the worst errors by population.

    A largest error is found under population, route and way.
    """
    groups: dict[tuple[int, str], list[Cell]] = {}
    for cell in cells:
        found_by = "svd" if cell["engine_method"] == "svd" else "gram"
        groups.setdefault((cell["dim"], found_by), []).append(cell)
    return {
        "time_over_engine": [
            {
                "dim": dim,
                "engine_by": found_by,
                "cells": len(members),
                **{way: _spread(members, way) for way in _ways(cells)[1:]},
            }
            for (dim, found_by), members in sorted(groups.items())
        ],
        **{
            f"largest_{measure}": {
                spectrum: _largest([c for c in cells if c["spectrum"] == spectrum], measure)
                for spectrum in dict.fromkeys(cell["spectrum"] for cell in cells)
            }
            for measure in MEASURES
        },
    }


def tables(cells: list[Cell]) -> Iterator[Table]:
    """Times, errors, and the summary of both."""
    yield _times(cells)
    for measure in MEASURES:
        yield _errors(cells, measure)
    found = summary(cells)
    yield _ratios(found["time_over_engine"], _ways(cells)[1:])
    yield _worst([found[f"largest_{measure}"] for measure in MEASURES], _ways(cells))


def _times(cells: list[Cell]) -> Table:
    table = plain_table(
        "Milliseconds for all three routes; others as multiples of the engine's median"
    )
    _columns(
        table,
        "engine by",
        "engine",
        "min – max",
        "floor",
        "floor/engine",
        *_ways(cells)[1:],
        "load",
    )
    for cell in cells:
        times = cell["ways"]["engine"]["seconds"]
        table.add_row(
            *_key(cell),
            cell["engine_method"],
            f"{times['median'] * 1e3:.2f}",
            f"{times['min'] * 1e3:.2f} – {times['max'] * 1e3:.2f}",
            f"{cell['floor_seconds'] * 1e3:.2f}",
            f"{cell['floor_seconds'] / times['median']:.0%}",
            *(f"{cell['ways'][way]['time_over_engine']:.1f}×" for way in _ways(cells)[1:]),
            f"{cell['load_average']:.1f}",
        )
    return table


def _errors(cells: list[Cell], measure: str) -> Table:
    table = plain_table(
        f"{MEASURES[measure]}: cov_centered, svd_centered, svd_uncentered "
        "(numpy_float64's own SVDs are the truth: 0)"
    )
    _columns(table, "κ", "engine by", *_ways(cells))
    for cell in cells:
        errors = (cell["ways"][way][measure].values() for way in _ways(cells))
        texts = (" ".join(f"{_short(error):>5}" for error in three) for three in errors)
        condition = f"{cell['condition']['svd_centered']:.0e}"
        table.add_row(*_key(cell), condition, cell["engine_method"], *texts)
    return table


def _ratios(groups: list[dict[str, Any]], ways: list[str]) -> Table:
    table = plain_table("Time over the engine's: median (least – most) over the cells of a width")
    for name in ("d", "engine by", "cells", *ways):
        table.add_column(name, justify="right")
    for group in groups:
        spreads = (group[way] for way in ways)
        texts = (f"{s['median']:.1f}× ({s['min']:.1f} – {s['max']:.1f})" for s in spreads)
        table.add_row(str(group["dim"]), group["engine_by"], str(group["cells"]), *texts)
    return table


def _worst(measures: list[dict[str, Any]], ways: list[str]) -> Table:
    table = plain_table("Largest error over sizes: of the effective rank, of a singular value")
    for name in ("spectrum", "route"):
        table.add_column(name)
    for name in ways:
        table.add_column(name, justify="right")
    for spectrum, by_route in measures[0].items():
        for route in by_route:
            pairs = ([found[spectrum][route][way] for found in measures] for way in ways)
            texts = (" ".join(f"{_short(error):>5}" for error in pair) for pair in pairs)
            table.add_row(spectrum, route, *texts)
    return table


def plain_table(title: str) -> Table:
    """A table without lines, its title at the left."""
    return Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))


def _columns(table: Table, *names: str) -> None:
    table.add_column("spectrum")
    for name in ("d", "n", *names):
        table.add_column(name, justify="right", no_wrap=True)


def _key(cell: Cell) -> tuple[str, str, str]:
    return cell["spectrum"], str(cell["dim"]), str(cell["rows"])


def _ways(cells: list[Cell]) -> list[str]:
    return list(cells[0]["ways"])


def _spread(cells: list[Cell], way: str) -> dict[str, float]:
    ratios = [cell["ways"][way]["time_over_engine"] for cell in cells]
    return {"median": median(ratios), "min": min(ratios), "max": max(ratios)}


def _largest(cells: list[Cell], measure: str) -> dict[str, dict[str, float]]:
    """Route to way to the largest error over the cells."""
    return {
        route: {way: max(c["ways"][way][measure][route] for c in cells) for way in _ways(cells)}
        for route in cells[0]["condition"]
    }


def _short(error: float) -> str:
    return "0" if error == 0 else f"{error:.0e}"
