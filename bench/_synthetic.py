"""A synthetic artifact of a given size: traces of labelled steps over power-law states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from bench._rows import rotation
from spectra.artifacts import Sample, Step, write_artifact

_CATEGORIES = (
    *("setup", "planning", "recall", "computation"),
    *("checking", "backtracking", "summary", "conclusion"),
)
_LAYER = 1
_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Size:
    """How large an artifact is; three steps of four are thought, the rest solution."""

    dim: int
    traces: int = 60
    steps: int = 40
    tokens: int = 24

    @property
    def rows(self) -> int:
        """Tokens of all traces; each is in one step."""
        return self.traces * self.steps * self.tokens

    def describe(self) -> str:
        """For the card."""
        return (
            f"{self.traces} traces x {self.steps} steps x {self.tokens} tokens, "
            f"{len(_CATEGORIES)} categories, d = {self.dim}"
        )


def write(path: Path, size: Size, seed: int = 0) -> Path:
    """The artifact of this size in the directory `path`.

    States have covariance eigenvalues 1/k in a random basis, a mean of 2 to 6 deviations that
    differs by category, and are rounded to bfloat16.
    """
    rng = np.random.default_rng(seed)
    categories = rng.integers(len(_CATEGORIES), size=(size.traces, size.steps))
    samples = [_sample(trace, categories[trace], size) for trace in range(size.traces)]
    blocks = _states(rng, np.repeat(categories.ravel(), size.tokens), size)
    return write_artifact(
        path, model=path.name, layers={_LAYER: blocks}, samples=samples, final_norm=False
    )


def _sample(trace: int, categories: NDArray[Any], size: Size) -> Sample:
    length = size.steps * size.tokens
    offset = trace * length
    thoughts = size.steps * 3 // 4

    def step(number: int) -> Step:
        start, end = number * size.tokens, (number + 1) * size.tokens
        return Step(
            start,
            end,
            offset + start,
            offset + end,
            "thought" if number < thoughts else "solution",
            _CATEGORIES[categories[number]],
        )

    steps = tuple(map(step, range(size.steps)))
    return Sample(f"trace_{trace}", f"problem_{trace}", offset, length, 0, steps)


def _states(
    rng: np.random.Generator, categories: NDArray[Any], size: Size
) -> Iterator[NDArray[Any]]:
    dim = size.dim
    mixing = np.sqrt(1.0 / np.arange(1, dim + 1))[:, None] * rotation(dim)
    mixing = (mixing / np.sqrt((mixing**2).sum(axis=0).mean())).astype(np.float32)
    means = rng.choice([-4.0, 4.0], dim) + rng.standard_normal((len(_CATEGORIES), dim))
    for start in range(0, size.rows, _BLOCK):
        some = categories[start : start + _BLOCK]
        rows = rng.standard_normal((len(some), dim), np.float32) @ mixing
        rows += means[some].astype(np.float32)
        yield rows.astype(ml_dtypes.bfloat16)
