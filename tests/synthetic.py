"""A small artifact whose spectra are known, for demonstrations and tests.

Each category has a Gaussian population at each layer. A token's state is

    x = m_c + Q_c diag(√λ_c) z,    z ~ N(0, I), independent for every token,

with a random orthogonal Q_c and a mean m_c of norm 2, so the population covariance is
Q_c diag(λ_c) Q_cᵀ and its eigenvalues are λ_c exactly, whatever the segment or the depth. With
ranks i = 1…128 (DIM), scaled to sum to DIM:

    category    layer 4 (λ ∝)                    layer 8, the primary one (λ ∝)
    flat        1                                1
    gentle      i^-0.4                           i^-0.6
    medium      i^-0.8                           i^-1.0
    steep       i^-1.4                           i^-1.8
    low-rank    1 for i ≤ 24, else 0             1 for i ≤ 12, else 0
    spiked      50 for i = 1, else 1             200 for i = 1, else 1

States are stored as bfloat16, whose rounding adds noise of about 2e-6 of each coordinate's mean
square.

There are 24 traces of 18 steps, two traces to a problem. A trace is a prompt whose first token is
an attention sink (a constant vector of norm 3000), then steps of 2 to 18 tokens, some of them
followed by a blank token; the last 4 steps are the solution. Prompt and blanks are isotropic noise
and belong to no step. One step in twenty has a single token; one, in the first trace, is empty.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import Sample, Step, write_artifact

DIM = 128
LAYERS = (4, 8)
CATEGORIES = ("flat", "gentle", "medium", "steep", "low-rank", "spiked")

_TRACES = 24
_STEPS = 18
_SOLUTION_STEPS = 4
_EXPONENTS = {
    "flat": (0.0, 0.0),
    "gentle": (0.4, 0.6),
    "medium": (0.8, 1.0),
    "steep": (1.4, 1.8),
}
_LOW_RANKS = (24, 12)
_SPIKES = (50.0, 200.0)
_SINK_NORM = 3000.0
_MEAN_NORM = 2.0


def population_spectrum(layer: int, category: str) -> NDArray[np.float64]:
    """The eigenvalues of the population covariance, [DIM] float64, descending, of sum DIM."""
    depth = LAYERS.index(layer)
    ranks = np.arange(1, DIM + 1, dtype=np.float64)
    if category == "low-rank":
        values = (ranks <= _LOW_RANKS[depth]).astype(np.float64)
    elif category == "spiked":
        values = np.where(ranks == 1, _SPIKES[depth], 1.0)
    else:
        values = ranks ** -_EXPONENTS[category][depth]
    scaled: NDArray[np.float64] = values * (DIM / values.sum())
    return scaled


def population_covariance(layer: int, category: str, *, seed: int = 0) -> NDArray[np.float64]:
    """The population covariance, [DIM, DIM] float64, of the artifact made with `seed`."""
    rotation = _population(layer, category, seed).rotation
    return np.asarray(
        np.einsum("ik,k,jk->ij", rotation, population_spectrum(layer, category), rotation)
    )


def write_synthetic(path: str | os.PathLike[str], *, seed: int = 0) -> Path:
    """Write the artifact to the directory `path` and return it.

    The same seed gives the same bytes; about 2.4 MB. Raises `OutputError`.
    """
    samples, owners = _plan(np.random.default_rng([seed, 0]))
    return write_artifact(
        path,
        model=f"synthetic-{DIM}",
        layers={layer: _states(layer, owners, seed) for layer in LAYERS},
        samples=samples,
        final_norm=False,
        shard_rows=2048,
        extra={"source": "random numbers of known spectra (tests.synthetic)", "seed": seed},
    )


@dataclass(frozen=True, slots=True)
class _Population:
    mean: NDArray[np.float64]
    rotation: NDArray[np.float64]


def _population(layer: int, category: str, seed: int) -> _Population:
    rng = np.random.default_rng([seed, 1, layer, CATEGORIES.index(category)])
    mean = rng.standard_normal(DIM)
    rotation = np.eye(DIM)
    # A product of reflections and no library's QR: its bytes do not depend on threads.
    for vector in rng.standard_normal((DIM, DIM)):
        unit = vector / np.sqrt(np.sum(vector**2))
        rotation -= 2 * unit[:, None] * np.sum(unit[:, None] * rotation, axis=0)
    return _Population(mean * (_MEAN_NORM / np.sqrt(np.sum(mean**2))), rotation)


def _states(layer: int, owners: NDArray[np.int64], seed: int) -> NDArray[Any]:
    """[rows, DIM] bfloat16; `owners` are the rows' categories, -1 for sinks, -2 for other rows."""
    rng = np.random.default_rng([seed, 2, layer])
    noise = rng.standard_normal((len(owners), DIM))
    states = 0.5 * noise
    for number, category in enumerate(CATEGORIES):
        population = _population(layer, category, seed)
        rows = owners == number
        scaled = noise[rows] * np.sqrt(population_spectrum(layer, category))
        # einsum, not matmul: as above.
        states[rows] = population.mean + np.einsum("nk,ik->ni", scaled, population.rotation)
    states[owners == -1] = _SINK_NORM / np.sqrt(DIM)
    return states.astype(ml_dtypes.bfloat16)


def _plan(rng: np.random.Generator) -> tuple[list[Sample], NDArray[np.int64]]:
    """The traces, and for each row the number of its category (-1 sink, -2 prompt or blank)."""
    samples: list[Sample] = []
    owners: list[int] = []
    for trace in range(_TRACES):
        offset = len(owners)
        prompt = int(rng.integers(6, 14))
        owners += [-1] + [-2] * (prompt - 1)
        steps = []
        for number in range(_STEPS):
            category = int(rng.integers(len(CATEGORIES)))
            length = _length(rng, trace, number)
            start = len(owners) - offset
            owners += [category] * length
            steps.append(_step(offset, start, length, number, category))
            owners += [-2] * int(rng.integers(0, 2))
        samples.append(
            Sample(
                sample_id=f"trace-{trace:02d}",
                problem_id=f"problem-{trace // 2:02d}",
                global_offset=offset,
                num_tokens=len(owners) - offset,
                prompt_tokens=prompt,
                steps=tuple(steps),
            )
        )
    return samples, np.array(owners)


def _length(rng: np.random.Generator, trace: int, number: int) -> int:
    if (trace, number) == (0, 5):
        return 0
    return 1 if rng.random() < 0.05 else int(rng.integers(2, 19))


def _step(offset: int, start: int, length: int, number: int, category: int) -> Step:
    return Step(
        token_start=start,
        token_end=start + length,
        global_start=offset + start,
        global_end=offset + start + length,
        segment="thought" if number < _STEPS - _SOLUTION_STEPS else "solution",
        category=CATEGORIES[category],
    )
