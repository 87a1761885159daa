"""The whole job, all pools and files: Spectra against the loop over groups that it replaces.

`python -m bench.end_to_end` prints a card, a table and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bench import _card, _shell
from bench._children import Cost, JobError, run_child
from bench._synthetic import Size, write
from bench._tables import plain_table
from bench._timing import figure
from bench.baseline import POOLS, Values

DIMS = (576, 1024, 2048)
PEERS = ("numpy", "torch", "reptrix")
CHECKED = ("rankme", "alpha_req", "cov_centered", "svd_centered", "svd_uncentered")

MEASURES = (
    "from a directory of shards to the four metric files of all four pools, as processes of their "
    "own: wall time from start to end, imports and compilation included, and peak memory. Ours is "
    "`spectra run`; the peers are `bench.baseline`: float32, each basic group an eigvalsh of the "
    "covariance and two SVDs, each depth bin and subsample the cheaper one of both"
)
METHOD = (
    "the jobs take turns; medians of wall times; truth is NumPy's float64 SVD of the rows of "
    "chosen groups, one of each kind a pool"
)
FLOOR = (
    "the products alone: d (d + 1) flops a row of each pool, at the rate of the BLAS's syrk on all "
    "cores. It leaves out reductions, of which there is one a group, so it is not attainable"
)

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """An artifact and its size in words."""

    name: str
    path: Path
    size: str


@app.command()
def main(
    dims: Annotated[
        str | None, typer.Option(help="Widths of synthetic artifacts, such as 576,1024.")
    ] = None,
    artifact: Annotated[
        list[Path] | None, typer.Option(help="An artifact of yours besides; may be repeated.")
    ] = None,
    traces: Annotated[int, typer.Option(min=1, help="Of 960 tokens each.")] = 60,
    peers: Annotated[
        str, typer.Option(help="Which of numpy, torch and reptrix, as far as installed.")
    ] = "numpy,torch",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 1,
    backend: _shell.BackendName = "auto",
    save: _shell.Save = None,
) -> None:
    """Time, memory and accuracy of the whole job, and the peers beside it."""
    _shell.check_save(save)
    chosen = _shell.chosen_backend(backend).name
    wanted = _peers(peers)
    sizes = [Size(dim, traces) for dim in _shell.integers("--dims", dims) or DIMS]
    out = _shell.recorder()
    floor = {"how": FLOOR, **_card.rates("cpu", 1024, 1 << 28)}
    card = _card.card(
        "end_to_end",
        f"{MEASURES}; {METHOD}",
        {
            "synthetic": [size.describe() for size in sizes],
            "artifacts": [path.name for path in artifact or ()],
            "peers": list(wanted),
            "repeats": repeats,
            "backend": chosen,
        },
        floor,
    )
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            cells = [
                _measure(subject, wanted, repeats, chosen, Path(scratch))
                for subject in _subjects(sizes, artifact or (), Path(scratch))
            ]
        except JobError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
    out.print()
    out.print(_table(cells))
    _shell.finish(out, {"card": card, "cells": cells}, save)


def _peers(text: str) -> tuple[str, ...]:
    wanted = tuple(filter(None, text.split(",")))
    for name in wanted:
        if name not in PEERS:
            raise typer.BadParameter(f"--peers {text}: expected some of {', '.join(PEERS)}")
    return tuple(name for name in wanted if find_spec(name) is not None)


def _subjects(sizes: Sequence[Size], artifacts: Sequence[Path], scratch: Path) -> Iterator[Subject]:
    for size in sizes:
        path = write(scratch / f"d{size.dim}", size)
        yield Subject(path.name, path, f"{size.rows:,} x {size.dim}")
    for path in artifacts:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        yield Subject(path.name, path, f"{config['num_tokens']:,} x {config['hidden_dim']}")


def _measure(
    subject: Subject, peers: Sequence[str], repeats: int, backend: str, scratch: Path
) -> dict[str, Any]:
    commands = {"spectra": _ours(subject, backend, scratch)}
    for peer in peers:
        device = "cuda" if peer == "torch" and backend == "gpu" else "cpu"
        where = ("--library", peer, "--device", device)
        commands[peer] = (
            *("bench.baseline", str(subject.path), *where),
            *("--out", str(scratch / f"{peer}.json")),
        )
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    with Console(stderr=True).status("") as status:
        for turn in range(repeats):
            for name, command in commands.items():
                status.update(f"{subject.name}: {name}, round {turn + 1} of {repeats}")
                costs[name].append(run_child(command))
        status.update(f"{subject.name}: the truth of chosen groups")
        found = {"spectra": our_values(scratch / "out" / subject.name)}
        stages = {}
        for peer in peers:
            result = json.loads((scratch / f"{peer}.json").read_text(encoding="utf-8"))
            found[peer], stages[peer] = result["values"], result["seconds"]
        true = _truth(subject, chosen_groups(found["spectra"]), scratch)
    ours = median(cost.seconds for cost in costs["spectra"])
    return {
        "artifact": subject.name,
        "size": subject.size,
        "groups": len(found["spectra"]),
        "checked_groups": len(true),
        "jobs": {
            name: {
                "seconds": [figure(cost.seconds) for cost in spent],
                "time_over_ours": figure(median(cost.seconds for cost in spent) / ours),
                "peak_bytes": max(cost.peak_bytes for cost in spent),
                "stages": {key: figure(value) for key, value in stages.get(name, {}).items()},
                "largest_relative_error": largest_errors(found[name], true),
            }
            for name, spent in costs.items()
        },
    }


def _ours(subject: Subject, backend: str, scratch: Path) -> tuple[str, ...]:
    where = ("--out", str(scratch / "out"), "--backend", backend)
    return ("spectra.cli", "run", str(subject.path), *where, "--quiet")


def _truth(subject: Subject, keys: Sequence[str], scratch: Path) -> dict[str, Values]:
    asked, answer = scratch / "keys.json", scratch / "truth.json"
    asked.write_text(json.dumps(keys), encoding="utf-8")
    run_child(
        (
            *("bench.baseline", str(subject.path)),
            *("--truth-of", str(asked), "--out", str(answer)),
        )
    )
    found: dict[str, Values] = json.loads(answer.read_text(encoding="utf-8"))["values"]
    return found


def our_values(directory: Path) -> dict[str, Values]:
    """What the files of a run say of each group with a spectrum, under the baseline's keys."""
    found: dict[str, Values] = {}
    for pool in POOLS:
        folder = directory / f"pool_{pool}"
        metrics, routes, depth = (
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("basic_metrics", "svd_vs_covariance", "depth_profile")
        )
        key = partial(_key, pool)
        for name, record in _basic(metrics, key):
            found[name] = _values(record)
        for name, record in _basic(routes, key):
            found[name] |= {route: record[route]["effective_rank"] for route in CHECKED[2:]}
        for b, record in enumerate(depth["bins"]):
            found[key("bin", None, None, b)] = _values(record)
        for segment, of_segment in depth["segments"].items():
            for b, record in enumerate(of_segment["bins"]):
                found[key("segment_bin", segment, None, b)] = _values(record)
        for category, of_category in depth["categories"].items():
            for b, record in enumerate(of_category["bins"]):
                found[key("category_bin", None, category, b)] = _values(record)
    return {name: values for name, values in found.items() if values["rankme"] is not None}


def _key(pool: str, kind: str, *labels: str | int | None) -> str:
    return "/".join([pool, kind, *("" if label is None else str(label) for label in labels)])


def _basic(document: Mapping[str, Any], key: Any) -> Iterator[tuple[str, Any]]:
    yield key("global", None, None, None), document["global"]
    for segment, record in document["segments"].items():
        yield key("segment", segment, None, None), record
    for category, record in document["categories"].items():
        yield key("category", None, category, None), record
    for segment, categories in document["segment_categories"].items():
        for category, record in categories.items():
            yield key("segment_category", segment, category, None), record


def _values(record: Mapping[str, Any]) -> Values:
    return {"rankme": record["rankme"], "alpha_req": record["alpha_req"]}


def chosen_groups(found: Mapping[str, Values]) -> list[str]:
    """One group of each kind and pool, by a fixed seed."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name in found:
        kinds.setdefault(tuple(name.split("/")[:2]), []).append(name)
    rng = np.random.default_rng(0)
    return [names[rng.integers(len(names))] for names in kinds.values()]


def largest_errors(
    found: Mapping[str, Values], true: Mapping[str, Values]
) -> dict[str, float | None]:
    """The largest relative error of each statistic over the groups whose truth is known."""

    def errors(statistic: str) -> Iterator[float]:
        for name, values in true.items():
            value, expected = found.get(name, {}).get(statistic), values.get(statistic)
            if value is not None and expected is not None:
                yield abs(value / expected - 1)

    largest = {statistic: max(errors(statistic), default=None) for statistic in CHECKED}
    return {name: None if error is None else figure(error) for name, error in largest.items()}


def _table(cells: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("The whole job; ratios are a job's time over ours, errors relative")
    names = ("artifact", "rows", "groups", "job", "seconds", "ratio", "peak MB")
    for name in (*names, *CHECKED, "of which"):
        table.add_column(name, justify="right" if name not in ("artifact", "of which") else "left")
    for cell in cells:
        for name, job in cell["jobs"].items():
            errors = (job["largest_relative_error"][statistic] for statistic in CHECKED)
            table.add_row(
                cell["artifact"],
                cell["size"],
                str(cell["groups"]),
                name,
                f"{median(job['seconds']):.1f}",
                f"{job['time_over_ours']:.1f}",
                f"{job['peak_bytes'] / 1e6:,.0f}",
                *("" if error is None else f"{error:.0e}" for error in errors),
                ", ".join(f"{stage} {spent:.1f}" for stage, spent in job["stages"].items()),
            )
    return table


if __name__ == "__main__":
    app()
