"""The synthetic artifact has the spectra that its docstring promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spectra.artifacts import Artifact, open_artifact
from tests.synthetic import (
    CATEGORIES,
    DIM,
    LAYERS,
    population_covariance,
    population_spectrum,
    write_synthetic,
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return open_artifact(write_synthetic(tmp_path_factory.mktemp("synthetic") / "model"))


def category_rows(artifact: Artifact, layer: int, category: str) -> NDArray[np.float64]:
    with artifact.open_rows(artifact.layer(layer)) as rows:
        states = rows.read(0, rows.num_rows).astype(np.float64)
    steps = [step for sample in artifact.index.samples for step in sample.steps]
    return np.concatenate(
        [states[s.global_start : s.global_end] for s in steps if s.category == category]
    )


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_population_spectrum_is_that_of_the_population_covariance(
    layer: int, category: str
) -> None:
    spectrum = population_spectrum(layer, category)
    assert spectrum.sum() == pytest.approx(DIM)
    assert np.all(np.diff(spectrum) <= 0)
    found = np.linalg.eigvalsh(population_covariance(layer, category))[::-1]
    np.testing.assert_allclose(found, spectrum, rtol=0, atol=1e-11 * spectrum[0])


def test_exponents() -> None:
    ranks = np.log(np.arange(1, DIM + 1))
    for layer, exponent in zip(LAYERS, (0.8, 1.0), strict=True):
        slope = np.polyfit(ranks, np.log(population_spectrum(layer, "medium")), 1)[0]
        assert slope == pytest.approx(-exponent)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_measured_covariance_is_as_close_as_sampling_allows(
    artifact: Artifact, layer: int, category: str
) -> None:
    """For n Gaussian rows E‖S - Σ‖² = ((tr Σ)² + ‖Σ‖²)/(n - 1), in the Frobenius norm."""
    rows = category_rows(artifact, layer, category)
    measured = np.cov(rows.T)
    distances = {
        other: float(np.linalg.norm(measured - population_covariance(layer, other)))
        for other in CATEGORIES
    }
    truth = population_covariance(layer, category)
    expected = np.sqrt((np.trace(truth) ** 2 + np.sum(truth**2)) / (len(rows) - 1))
    assert 0.5 * expected < distances[category] < 1.6 * expected
    assert min(distances, key=lambda other: distances[other]) == category
    assert np.trace(measured) == pytest.approx(DIM, rel=0.08)


def test_low_rank_is_low_but_for_rounding(artifact: Artifact) -> None:
    values = np.linalg.eigvalsh(np.cov(category_rows(artifact, 8, "low-rank").T))[::-1]
    assert values[11] > 5
    assert values[12] < 1e-4


def test_what_the_artifact_holds(artifact: Artifact) -> None:
    samples = artifact.index.samples
    steps = [step for sample in samples for step in sample.steps]
    lengths = [step.token_end - step.token_start for step in steps]
    assert len(samples) == 24
    assert len({sample.problem_id for sample in samples}) == 12
    assert {step.segment for step in steps} == {"thought", "solution"}
    assert {step.category for step in steps} == set(CATEGORIES)
    assert lengths.count(0) == 1
    assert lengths.count(1) > 5
    assert sum(lengths) + sum(s.prompt_tokens or 0 for s in samples) < artifact.config.num_tokens
    assert len(artifact.layer().shards) > 1
    assert artifact.config.saved_layers == LAYERS
    assert artifact.warnings == (
        f"{artifact.path / 'index.json'}: empty steps, which give no row to any pool: 1.",
    )


def test_token_0_is_a_sink(artifact: Artifact) -> None:
    with artifact.open_rows(artifact.layer()) as rows:
        norms = np.linalg.norm(rows.read(0, rows.num_rows).astype(np.float64), axis=1)
    sinks = [sample.global_offset for sample in artifact.index.samples]
    assert np.all(norms[sinks] > 100 * np.median(norms))
    assert np.all(np.delete(norms, sinks) < 100 * np.median(norms))


def test_small_and_deterministic(artifact: Artifact, tmp_path: Path) -> None:
    again = write_synthetic(tmp_path / "again")
    other = write_synthetic(tmp_path / "other", seed=1)
    files = sorted(path.name for path in artifact.path.iterdir())
    assert sum((again / name).stat().st_size for name in files) < 3_000_000
    for name in files:
        assert (again / name).read_bytes() == (artifact.path / name).read_bytes()
    assert (other / files[-1]).read_bytes() != (again / files[-1]).read_bytes()
