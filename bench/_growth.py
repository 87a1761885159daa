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
TOKENS = 24

ROWS_ALONE = ("--pools", "all", "--bins", "1", "--counts", "32", "--repeats", "1")
"""Options that leave little to do but to read and to multiply."""


def sizes(dim: int, traces: int) -> dict[str, tuple[Size, ...]]:
    """What grows: the number of traces, and with it that of steps, or the steps' tokens."""
    return {
        "traces": tuple(Size(dim, traces * factor) for factor in FACTORS),
        "tokens": tuple(Size(dim, traces, tokens=TOKENS * factor) for factor in FACTORS),
    }


def growth(
    dim: int, traces: int, repeats: int, backend: str, scratch: Path
) -> list[dict[str, Any]]:
    """Time, its distance from a straight line, and peak memory of runs over more rows."""
    cells = []
    for grown, options in (("traces", ROWS_ALONE), ("traces", ()), ("tokens", ROWS_ALONE)):
        own = sizes(dim, traces)[grown]
        paths = [
            _written(scratch / f"{grown}_times{factor}", size)
            for factor, size in zip(FACTORS, own, strict=True)
        ]
        costs: list[list[Cost]] = [[] for _ in paths]
        for _ in range(repeats):
            for spent, path in zip(costs, paths, strict=True):
                spent.append(run_child(_run(path, backend, scratch, *options)))
        seconds = [median(cost.seconds for cost in spent) for spent in costs]
        # By relative residuals: the noise of a timing grows with it.
        slope, constant = np.polyfit(FACTORS, seconds, 1, w=1 / np.array(seconds))
        for factor, size, second, spent in zip(FACTORS, own, seconds, costs, strict=True):
            cells.append(
                {
                    "job": "rows alone" if options else "whole job",
                    "more": grown,
                    "steps": size.traces * size.steps,
                    "rows": size.rows,
                    "seconds": figure(second),
                    "start_up": figure(constant),
                    "over_proportional": figure((second - constant) / (slope * factor)),
                    "peak_mb": round(max(cost.peak_bytes for cost in spent) / 1e6),
                }
            )
    return cells


def _written(path: Path, size: Size) -> Path:
    return path if path.exists() else write(path, size)


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
