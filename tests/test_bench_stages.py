"""The bench of stages: what it says is what the run says, and what more rows cost is a slope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import stages
from bench._streaming import _on_device
from tests.bench_sizes import small_rates
from tests.test_backends import device


def test_the_whole_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "PRODUCT_ROWS", 64)
    save = tmp_path / "small.json"
    options = (
        "--dim",
        "32",
        "--traces",
        "4",
        "--repeats",
        "1",
        "--backend",
        "cpu",
        "--save",
        str(save),
    )
    with small_rates():
        result = CliRunner().invoke(stages.app, options)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert document == json.loads(save.read_text())
    off, whole = (document["jobs"][name] for name in stages.JOBS)
    assert off["work"]["influence"] == 0 < whole["work"]["influence"]
    for job in (off, whole):
        assert sum(job["stages"].values()) < job["seconds"]
        assert job["passes"] == 1
        assert sum(used["matrices"] for used in job["solvers"].values()) > 200
    assert document["rows_alone"]["rows"] == [960, 3840]
    assert document["products"]["rows"] == 64
    printed = save.with_suffix(".txt").read_text()
    for line in ("threads: multiply", "Reductions", "3,840"):
        assert line in printed


def test_more_rows_cost_their_share() -> None:
    found = stages._slope([3.0, 5.0], 1_000_000, 5_000_000)
    assert found["seconds_a_million_more"] == pytest.approx(0.5)


def test_products_alone_on_a_device_are_of_all_rows() -> None:
    x = np.random.default_rng(0).standard_normal((1500, 32)).astype(np.float32)
    made = np.asarray(_on_device(device(), x)())
    np.testing.assert_allclose(made, x.astype(np.float64).T @ x, rtol=1e-12, atol=1e-9)
