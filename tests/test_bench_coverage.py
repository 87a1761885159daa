"""The coverage bench: its populations are what they say, and intervals cover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import coverage
from bench._clustered import DESIGNS, Traces


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_rows_have_the_population_that_is_claimed(design: Any) -> None:
    data = Traces.of(design, 6, 60, 4)
    rng = np.random.default_rng(0)
    draws = np.stack([data.draw(rng) for _ in range(4000)])
    between, lag = design.shares(6)
    variance = draws.var(axis=(0, 1))
    assert variance == pytest.approx(data.eigenvalues, rel=0.05)
    first = draws[:, : data.lengths[0]] / np.sqrt(data.eigenvalues)
    near, far = ((first[:, 0] * first[:, gap]).mean(axis=0) for gap in (1, data.lengths[0] - 1))
    assert near == pytest.approx(between + (1 - between) * lag, abs=0.06)
    assert far == pytest.approx(between + (1 - between) * lag ** (data.lengths[0] - 1), abs=0.06)
    other = draws[:, data.lengths[0]] / np.sqrt(data.eigenvalues)
    assert (first[:, 0] * other).mean(axis=0) == pytest.approx(np.zeros(6), abs=0.06)
    assert sum(data.lengths) == pytest.approx(60, abs=4)


def test_intervals_cover_the_expectation() -> None:
    # 150 replications tell 0.95 from 0.90 by three standard errors; `bench/results` has 400.
    data = Traces.of(DESIGNS[0], 104, 300, 12)
    cell = coverage.measure(data, 150, 0)
    for name in ("rankme", "alpha_req"):
        assert 0.89 <= cell[name]["coverage"] <= 1.0, name
        assert 0.8 <= cell[name]["se_over_sd"] <= 1.4, name
    assert cell["rankme"]["expectation"] < 0.9 * cell["rankme"]["population"]


def test_the_whole_of_it(tmp_path: Path) -> None:
    save = tmp_path / "small.json"
    options = ("--dim", "101", "--rows", "120", "--traces", "3", "--replications", "2")
    result = CliRunner().invoke(
        coverage.app, [*options, "--bootstraps", "2", "--exact", "1", "--save", str(save)]
    )
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert document == json.loads(save.read_text())
    assert [cell["design"] for cell in document["cells"]] == [design.name for design in DESIGNS]
    for cell in document["cells"]:
        ratio = cell["rankme"]["exact_over_first_order"]
        assert 0 < ratio["least"] == ratio["median"] == ratio["most"]
    text = save.with_suffix(".txt").read_text()
    assert "by a bootstrap of tokens" in text
    assert "Exact standard errors over first-order ones" in text


def test_other_processes_draw_the_same() -> None:
    data = Traces.of(DESIGNS[2], 101, 120, 3)
    with coverage.mapping(2) as over:
        shared = coverage.measure(data, 4, 0, over=over)
    assert shared == coverage.measure(data, 4, 0)
