"""Whole runs over more and more traces, and runs over next to nothing."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench._children import Cost, run_child
from bench._synthetic import Size, write
from bench._timing import figure

FACTORS = (1, 2, 4, 8)

ROWS_ALONE = ("--pools", "all", "--bins", "1", "--counts", "32", "--repeats", "1")
"""Options that leave little to do but to read and to multiply."""


def growth(
    dim: int, traces: int, repeats: int, backend: str, scratch: Path
) -> list[dict[str, Any]]:
    """Time, its distance from a straight line, and peak memory of runs over more traces."""
    paths = [write(scratch / f"times{factor}", Size(dim, traces * factor)) for factor in FACTORS]
    cells = []
    for job, options in (("rows alone", ROWS_ALONE), ("whole job", ())):
        costs: list[list[Cost]] = [[] for _ in paths]
        for _ in range(repeats):
            for spent, path in zip(costs, paths, strict=True):
                spent.append(run_child(_run(path, backend, scratch, *options)))
        seconds = [median(cost.seconds for cost in spent) for spent in costs]
        # By relative residuals: the noise of a timing grows with it.
        slope, constant = np.polyfit(FACTORS, seconds, 1, w=1 / np.array(seconds))
        for factor, second, spent in zip(FACTORS, seconds, costs, strict=True):
            cells.append(
                {
                    "job": job,
                    "traces": traces * factor,
                    "rows": Size(dim, traces * factor).rows,
                    "seconds": figure(second),
                    "start_up": figure(constant),
                    "over_proportional": figure((second - constant) / (slope * factor)),
                    "peak_mb": round(max(cost.peak_bytes for cost in spent) / 1e6),
                }
            )
    return cells


def start(repeats: int, backend: str, scratch: Path) -> list[dict[str, Any]]:
    """Seconds of the help and of a tiny run."""
    tiny = write(scratch / "tiny", Size(64, traces=2))
    jobs = {
        "spectra run --help": ("spectra.cli", "run", "--help"),
        "a run over 1,920 rows at d = 64": _run(tiny, backend, scratch),
    }
    return [
        {"job": job, "seconds": figure(median(run_child(command).seconds for _ in range(repeats)))}
        for job, command in jobs.items()
    ]


def _run(path: Path, backend: str, scratch: Path, *options: str) -> tuple[str, ...]:
    where = ("--out", str(scratch / "out"), "--backend", backend, "--quiet")
    return ("spectra.cli", "run", str(path), *where, *options)
