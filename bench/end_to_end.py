"""The whole job, all pools and files: Spectra against the loop over groups that it replaces.

`python -m bench.end_to_end` prints a card, a table an artifact and, as its last line, the whole as
one JSON document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import _card, _shell
from bench._children import Cost, JobError, run_child
from bench._synthetic import Size, write
from bench._tables import plain_table
from bench._timing import figure
from bench._values import CHECKED, chosen_groups, largest_errors, our_values
from bench.baseline import Values
from spectra.artifacts import Artifact, find_artifacts, open_artifact
from spectra.errors import SpectraError

DIMS = (576, 1024, 2048)
PEERS = ("numpy", "torch", "reptrix")
PLAIN = ("--jackknife", "off", "--no-matched", "--no-diagnostics")
"""What leaves the numbers that the peers have."""

OURS, WITH_ERRORS = "spectra", "spectra, with se"

MEASURES = (
    "from a directory of shards to the four metric files of all four pools, as processes of their "
    "own: wall time from start to end, imports and compilation included, and peak memory. Ours is "
    "`spectra run` without standard errors, comparisons and diagnostics, which the peers lack, "
    "with the default beside it; the peers are `bench.baseline`: float32, each basic group an "
    "eigvalsh of the covariance and two SVDs, each depth bin and subsample the cheaper one of both"
)
METHOD = (
    "the jobs take turns; medians of wall times; truth is NumPy's float64 SVD of the rows of "
    "chosen groups, one of each kind a pool"
)
FLOOR = (
    "the products alone: d (d + 1) flops a row of each pool, at the rate of the BLAS's syrk on all "
    "cores. It leaves out reductions, of which there is one a group, so it is not attainable"
)
LEGEND = "ratio: a job's time over ours; by statistic, the largest relative error"

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
        list[Path] | None,
        typer.Option(help="A model directory of yours, or the parent of several; may be repeated."),
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
    artifacts = _opened(artifact or ())
    out = _shell.recorder()
    floor = {"how": FLOOR, **_card.rates("cpu", 1024, 1 << 28)}
    card = _card.card(
        "end_to_end",
        f"{MEASURES}; {METHOD}",
        {
            "synthetic": [size.describe() for size in sizes],
            "artifacts": [given.path.name for given in artifacts],
            "peers": list(wanted),
            "repeats": repeats,
            "backend": chosen,
        },
        floor,
    )
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    out.print("\n" + LEGEND)
    cells = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for subject in _subjects(sizes, artifacts, Path(scratch)):
                cells.append(_measure(subject, wanted, repeats, chosen, Path(scratch)))
                out.print(_table(cells[-1]))
        except JobError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
    _shell.finish(out, {"card": card, "cells": cells}, save)


def _peers(text: str) -> tuple[str, ...]:
    wanted = tuple(filter(None, text.split(",")))
    for name in wanted:
        if name not in PEERS:
            raise typer.BadParameter(f"--peers {text}: expected some of {', '.join(PEERS)}")
    return tuple(name for name in wanted if find_spec(name) is not None)


def _opened(paths: Iterable[Path]) -> list[Artifact]:
    """The artifacts at these places, looked through before hours are spent."""
    try:
        return [open_artifact(model) for path in paths for model in find_artifacts(path.absolute())]
    except SpectraError as error:
        raise _shell.ended_by(error) from None


def _subjects(
    sizes: Iterable[Size], artifacts: Iterable[Artifact], scratch: Path
) -> Iterator[Subject]:
    for size in sizes:
        path = write(scratch / f"d{size.dim}", size)
        yield Subject(path.name, path, f"{size.rows:,} x {size.dim}")
    for given in artifacts:
        shape = f"{given.config.num_tokens:,} x {given.config.hidden_dim}"
        yield Subject(given.path.name, given.path, shape)


def _measure(
    subject: Subject, peers: Sequence[str], repeats: int, backend: str, scratch: Path
) -> dict[str, Any]:
    commands = {
        OURS: _ours(subject, backend, scratch / OURS, *PLAIN),
        WITH_ERRORS: _ours(subject, backend, scratch / WITH_ERRORS),
    }
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
        found = {name: our_values(scratch / name / subject.name) for name in (OURS, WITH_ERRORS)}
        stages = {}
        for peer in peers:
            result = json.loads((scratch / f"{peer}.json").read_text(encoding="utf-8"))
            found[peer], stages[peer] = result["values"], result["seconds"]
        true = _truth(subject, chosen_groups(found[OURS]), scratch)
    ours = median(cost.seconds for cost in costs[OURS])
    return {
        "artifact": subject.name,
        "size": subject.size,
        "groups": len(found[OURS]),
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


def _ours(subject: Subject, backend: str, out: Path, *options: str) -> tuple[str, ...]:
    where = ("--out", str(out), "--backend", backend)
    return ("spectra.cli", "run", str(subject.path), *where, "--quiet", *options)


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


def _table(cell: Mapping[str, Any]) -> Table:
    table = plain_table(f"{cell['artifact']}: {cell['size']}, {cell['groups']} groups")
    for name in ("job", "seconds", "ratio", "peak MB", *CHECKED, "of which"):
        table.add_column(name, justify="left" if name in ("job", "of which") else "right")
    for name, job in cell["jobs"].items():
        errors = (job["largest_relative_error"][statistic] for statistic in CHECKED)
        table.add_row(
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
