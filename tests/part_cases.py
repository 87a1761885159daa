"""Artifacts to cut in parts: a few categories, steps of many lengths, some of which overlap."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import spectra
from spectra.artifacts import Sample, Step, write_artifact
from spectra.outputs import RUN_FILE

DIM = 6
LAYERS = (1, 3)
CONFIG = spectra.RunConfig(
    backend="cpu", layers="all", num_bins=2, counts=(4, 9), repeats=2, drop_first=1
)


def traces(rng: np.random.Generator, lengths: list[int], most: int = 9) -> list[Sample]:
    """Traces of so many tokens, whose steps of up to `most` tokens may overlap or be empty."""
    found, offset = [], 0
    for number, length in enumerate(lengths):
        steps, start = [], min(2, length)
        while start < length:
            stop = min(length, start + int(rng.integers(0, most + 1)))
            segment = (None, "thought", "solution")[int(rng.integers(0, 3))]
            steps.append(
                Step(
                    start, stop, offset + start, offset + stop, segment, str(rng.choice(["a", "b"]))
                )
            )
            start = max(start, stop - 1) if rng.random() < 0.1 else stop + int(rng.integers(0, 2))
            start += stop == steps[-1].token_start  # an empty step stands alone
        found.append(Sample(f"s{number}", f"p{number // 2}", offset, length, 0, tuple(steps)))
        offset += length
    return found


def states(rng: np.random.Generator, rows: int, bad: tuple[int, ...] = ()) -> NDArray[np.float32]:
    """Rows in float32, whose sums are rounded, of a mean far from 0."""
    found = (rng.standard_normal((rows, DIM)) * (1 + np.arange(DIM)) + 30).astype(np.float32)
    for row in bad:
        found[row, row % DIM] = np.nan
    return found


def write(path: Path, lengths: list[int], *, bad: tuple[int, ...] = (), seed: int = 0) -> Path:
    """Two layers in shards of 50 rows or a trace."""
    rng = np.random.default_rng(seed)
    samples = traces(rng, lengths)
    layers = {layer: states(rng, sum(lengths), bad) for layer in LAYERS}
    return write_artifact(
        path, model="cut", layers=layers, samples=samples, final_norm=None, shard_rows=50
    )


def written(out: Path) -> dict[str, bytes]:
    """The files of a run, its record aside, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != RUN_FILE and path.parent.name != "parts"
    }


def unlike(one: Path, other: Path, relative: float) -> list[str]:
    """Where the metric files of two runs differ."""
    names = sorted(path.relative_to(one).as_posix() for path in one.rglob("pool_*/*.json"))
    assert names
    assert names == sorted(path.relative_to(other).as_posix() for path in other.rglob("pool_*/*"))
    pairs = ((json.loads((out / name).read_text()) for out in (one, other)) for name in names)
    return [
        f"{name}{where}"
        for name, (a, b) in zip(names, pairs, strict=True)
        for where in _unlike(a, b, relative)
    ]


def _unlike(a: Any, b: Any, relative: float, where: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            yield from _unlike(a[key], b[key], relative, f"{where}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _unlike(x, y, relative, f"{where}/{place}")
    elif isinstance(a, float) and isinstance(b, float):
        if not math.isclose(a, b, rel_tol=relative, abs_tol=relative):
            yield f"{where}: {a} {b}"
    elif a != b:
        yield f"{where}: {a!r} {b!r}"
