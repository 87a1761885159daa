"""The eigensolver benchmark: every way finds the eigenvalues; what takes too long is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from bench._eigensolvers import ways
from bench.eigensolvers import app, covariances, floor_seconds
from spectra.linalg import twostage

CPU = jax.devices("cpu")[0]


@pytest.mark.parametrize(("dtype", "accuracy"), [("float64", 1e-13), ("float32", 1e-5)])
def test_every_way_finds_the_eigenvalues(dtype: str, accuracy: float) -> None:
    matrices = covariances(40, 3, dtype)
    truth = np.linalg.eigvalsh(matrices.astype(np.float64))
    found = ways(CPU, np.dtype(dtype), 40)
    assert ("lapack sytrd" in found) == (dtype == "float64")
    assert ("lapack two stages" in found) == (dtype == "float64" and twostage.available())
    for name, way in found.items():
        values = np.sort(way(matrices), axis=1)
        assert np.abs(values - truth).max() <= accuracy * truth.max(), name


def test_matrices_are_left_as_they_were() -> None:
    matrices = covariances(8, 2, "float64")
    before = matrices.copy()
    for way in ways(CPU, matrices.dtype, 8).values():
        way(matrices)
    assert np.array_equal(matrices, before)


def call(*args: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["--backend", "cpu", "--repeats", "1", *args])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_cells_and_what_is_kept(tmp_path: Path) -> None:
    save = tmp_path / "small.json"
    document = call("--dims", "16,24", "--batches", "2", "--dtypes", "float64", "--save", str(save))
    assert document == json.loads(save.read_text())
    assert "Milliseconds a matrix" in save.with_suffix(".txt").read_text()
    assert [cell["dim"] for cell in document["cells"]] == [16, 24]
    for cell in document["cells"]:
        assert set(cell["seconds_a_matrix"]) == set(ways(CPU, np.dtype(np.float64), 16))
        assert max(cell["relative_error"].values()) < 1e-13
        assert cell["left_out"] == []
        assert cell["floor_seconds"] > 0


def test_what_would_take_too_long_is_left_out() -> None:
    document = call("--dims", "16,32", "--batches", "1", "--dtypes", "float64", "--limit", "1e-9")
    first, second = document["cells"]
    assert first["left_out"] == []
    assert second["seconds_a_matrix"] == {}
    assert second["left_out"] == list(first["seconds_a_matrix"])


def test_the_floor_is_the_reading_of_the_trailing_triangle() -> None:
    assert floor_seconds(600, 8, {"copy_gbytes_per_s": 10.0}) == pytest.approx(
        600**3 * 8 / 6 / 1e10
    )


@pytest.mark.parametrize("args", [("--batches", "0"), ("--dtypes", "int8"), ("--dims", "x")])
def test_options_are_checked(args: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 2
    assert "expected" in result.output
