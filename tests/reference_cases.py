"""Small artifacts with every awkward shape in them, and the dense float64 states they hold.

The writer here is plain on purpose: shards are cut anywhere, through steps as well, which the
package's own writer never does. `artifacts()` is the Hypothesis strategy over all of it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

Floats = NDArray[np.float64]

SEGMENTS = ("thought", "solution", None)
CATEGORIES = ("Deduction", "Backtracking", "solution", None)


@dataclass(frozen=True, slots=True)
class CaseStep:
    """Rows [global_start, global_end) of the states, with two labels."""

    global_start: int
    global_end: int
    segment: str | None
    category: str | None


@dataclass(frozen=True, slots=True)
class CaseSample:
    """A trace: its rows [global_offset, global_offset + num_tokens) and its steps."""

    global_offset: int
    num_tokens: int
    steps: tuple[CaseStep, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """An artifact in memory; states are exact bfloat16 values, the last layer is primary."""

    samples: tuple[CaseSample, ...]
    layers: dict[int, Floats]
    borders: tuple[int, ...]

    @property
    def primary(self) -> int:
        return max(self.layers)

    @property
    def num_tokens(self) -> int:
        return sum(sample.num_tokens for sample in self.samples)

    @property
    def dim(self) -> int:
        return int(self.layers[self.primary].shape[1])

    def write(self, path: Path) -> Path:
        """Write the published layout; `borders` are the token positions where shards end."""
        path.mkdir(parents=True)
        (path / "index.json").write_text(json.dumps({"format_version": 1, **self._index()}))
        config = {"format_version": 1, **self._config()}
        (path / "config.json").write_text(json.dumps(config))
        for layer, states in self.layers.items():
            for shard in self._shards(layer):
                rows = states[int(shard["token_start"]) : int(shard["token_end"])]
                tensor = np.ascontiguousarray(rows.astype(ml_dtypes.bfloat16))
                save_file({"hidden_states": tensor}, path / str(shard["file"]))
        return path

    def _shards(self, layer: int) -> list[dict[str, str | int]]:
        edges = [0, *self.borders, self.num_tokens]
        return [
            {
                "file": f"hidden_states_layer{layer}_shard{i:03d}.safetensors",
                "token_start": start,
                "token_end": end,
            }
            for i, (start, end) in enumerate(itertools.pairwise(edges))
        ]

    def _config(self) -> dict[str, object]:
        layers = sorted(self.layers)
        return {
            "model": "case/random",
            "layer": self.primary,
            "saved_layers": layers,
            "hidden_dim": self.dim,
            "storage_dtype": "bfloat16",
            "num_tokens": self.num_tokens,
            "num_samples": len(self.samples),
            "num_steps": sum(len(sample.steps) for sample in self.samples),
            "shards": self._shards(self.primary),
            "layers": [
                {"index": layer, "final_norm": False, "shards": self._shards(layer)}
                for layer in layers
            ],
        }

    def _index(self) -> dict[str, object]:
        def step(sample: CaseSample, one: CaseStep) -> dict[str, object]:
            return {
                "token_start": one.global_start - sample.global_offset,
                "token_end": one.global_end - sample.global_offset,
                "global_start": one.global_start,
                "global_end": one.global_end,
                "segment": one.segment,
                "category": one.category,
            }

        return {
            "samples": [
                {
                    "sample_id": f"trace-{i}",
                    "global_offset": sample.global_offset,
                    "num_tokens": sample.num_tokens,
                    "steps": [step(sample, one) for one in sample.steps],
                }
                for i, sample in enumerate(self.samples)
            ]
        }


# --- states ---------------------------------------------------------------------------------------

Maker = Callable[[np.random.Generator, int, int], Floats]


def isotropic(rng: np.random.Generator, n: int, d: int) -> Floats:
    return rng.standard_normal((n, d))


def sloping(rng: np.random.Generator, n: int, d: int) -> Floats:
    return rng.standard_normal((n, d)) * np.arange(1.0, d + 1) ** -0.7 + 0.5


def steep(rng: np.random.Generator, n: int, d: int) -> Floats:
    """Singular values over a range of 2^16: their squares drown in a Gram matrix's rounding."""
    return rng.standard_normal((n, d)) * 2.0 ** np.linspace(0.0, -16.0, d)


def large_mean(rng: np.random.Generator, n: int, d: int) -> Floats:
    x = rng.standard_normal((n, d))
    x[:, :3] += 3000.0
    return x


def low_rank(rng: np.random.Generator, n: int, d: int) -> Floats:
    """Rank 4 at most, exactly: products of small integers survive bfloat16."""
    left, right = rng.integers(-3, 4, (n, 4)), rng.integers(-3, 4, (4, d))
    return np.asarray((left @ right).astype(np.float64))


def constant(rng: np.random.Generator, n: int, d: int) -> Floats:
    return np.tile(rng.standard_normal(d), (n, 1))


def duplicated(rng: np.random.Generator, n: int, d: int) -> Floats:
    return np.repeat(rng.standard_normal((n // 2 + 1, d)), 2, axis=0)[:n]


def zeros(rng: np.random.Generator, n: int, d: int) -> Floats:
    return np.zeros((n, d))


def massive_row(rng: np.random.Generator, n: int, d: int) -> Floats:
    x = rng.standard_normal((n, d))
    x[n // 2] *= 1e3
    return x


def not_finite(rng: np.random.Generator, n: int, d: int) -> Floats:
    x = rng.standard_normal((n, d))
    x[rng.random(n) < 0.03, -1] = np.nan
    x[rng.random(n) < 0.03, 0] = np.inf
    return x


def tiny(rng: np.random.Generator, n: int, d: int) -> Floats:
    return rng.standard_normal((n, d)) * 2.0**-60


MAKERS: tuple[Maker, ...] = (
    isotropic,
    sloping,
    steep,
    large_mean,
    low_rank,
    constant,
    duplicated,
    zeros,
    massive_row,
    not_finite,
    tiny,
)


def to_bfloat16(x: Floats) -> Floats:
    """The nearest bfloat16 values, as float64."""
    return np.asarray(x.astype(ml_dtypes.bfloat16).astype(np.float64))


# --- strategies -----------------------------------------------------------------------------------


@st.composite
def sample_steps(
    draw: st.DrawFn, offset: int, num_tokens: int, segments: tuple[str | None, ...]
) -> tuple[CaseStep, ...]:
    """Steps of one trace: gaps, empty ones, one-token ones, now and then overlapping the last."""
    steps: list[CaseStep] = []
    position = offset + draw(st.integers(0, min(3, num_tokens)))
    end = offset + num_tokens
    for _ in range(draw(st.integers(0, 12))):
        overlap = draw(st.sampled_from((0, 0, 0, 0, 2)))
        start = max(offset, min(position + draw(st.sampled_from((0, 0, 1))) - overlap, end))
        length = draw(st.sampled_from((0, 1, 1, 2, 3, 5, 9, 21, 60)))
        stop = min(start + length, end)
        labels = draw(st.sampled_from(segments)), draw(st.sampled_from(CATEGORIES))
        steps.append(CaseStep(start, stop, *labels))
        position = max(position, stop)
    return tuple(steps)


@st.composite
def artifacts(draw: st.DrawFn, dims: tuple[int, ...] = (3, 8, 17, 33)) -> Case:
    """A small artifact: one to five traces, one or two layers, shards cut anywhere."""
    segments = draw(st.sampled_from((SEGMENTS, ("thought", "solution"), ("thought",), (None,))))
    samples: list[CaseSample] = []
    offset = 0
    for _ in range(draw(st.integers(1, 5))):
        num_tokens = draw(st.integers(1, 120))
        steps = draw(sample_steps(offset, num_tokens, segments))
        samples.append(CaseSample(offset, num_tokens, steps))
        offset += num_tokens
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dim = draw(st.sampled_from(dims))
    makers = draw(st.lists(st.sampled_from(MAKERS), min_size=1, max_size=2))
    layers = {5 * k + 1: to_bfloat16(make(rng, offset, dim)) for k, make in enumerate(makers)}
    borders = draw(st.sets(st.integers(1, offset - 1), max_size=3)) if offset > 1 else set()
    return Case(tuple(samples), layers, tuple(sorted(borders)))


def long_case(make: Maker, rows: int, dim: int, *, seed: int = 0) -> Case:
    """One trace of `rows` tokens in steps of 1 to 9 rows, three categories, two shards.

    The last category holds the last step alone: a group of few rows beside large ones.
    """
    rng = np.random.default_rng(seed)
    steps: list[CaseStep] = []
    position = 0
    while position < rows:
        stop = min(rows, position + int(rng.integers(1, 10)))
        segment, category = SEGMENTS[len(steps) % 2], CATEGORIES[len(steps) % 3 % 2]
        steps.append(CaseStep(position, stop, segment, category))
        position = stop
    last = steps.pop()
    steps.append(CaseStep(last.global_start, rows, "solution", "summary"))
    sample = CaseSample(0, rows, tuple(steps))
    return Case((sample,), {1: to_bfloat16(make(rng, rows, dim))}, (rows // 2 + 1,))
