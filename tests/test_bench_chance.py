"""The bench of p-values: data sets are what they say, and a planted difference is found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from bench import chance
from spectra.artifacts import open_artifact


def test_models_of_one_seed_share_their_traces(tmp_path: Path) -> None:
    a = chance.write(tmp_path / "a", 3, 4)
    b = chance.write(tmp_path / "b", 3, 4, model=1)
    first, second = (open_artifact(path) for path in (a, b))
    assert first.index.samples == second.index.samples
    with first.open_rows(first.layer()) as x, second.open_rows(second.layer()) as y:
        assert x.num_rows == 4 * chance.STEPS * chance.TOKENS
        assert not np.array_equal(x.read(0, 9), y.read(0, 9))


def test_a_planted_difference_is_found(tmp_path: Path) -> None:
    found = chance.paired(tmp_path / "p", 0.5, 0, 12)
    assert found["rankme"] is not None
    assert found["rankme"] < 0.01
    of_labels = chance.permuted(tmp_path / "l", 0.6, 0, 12, 49)
    assert of_labels["rankme"] == 1 / 50


def test_uniform_p_values_pass_and_others_do_not() -> None:
    steps = (np.arange(500) % 100 + 1) / 100
    fine = chance._cell("labels permuted", 0.0, "rankme", steps.tolist(), 0.01)
    assert fine["ks_p"] > 0.5
    assert fine["at_or_below"] == 0.05
    low = chance._cell("labels permuted", 0.0, "rankme", (steps**2).tolist(), 0.01)
    assert low["ks_p"] < 1e-6


def test_the_whole_of_it(tmp_path: Path) -> None:
    save = tmp_path / "small.json"
    few = ("--runs", "2", "--power-runs", "2", "--permutations", "3", "--traces", "3")
    result = CliRunner().invoke(chance.app, [*few, "--save", str(save)])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert document == json.loads(save.read_text())
    assert len(document["cells"]) == 2 * len(chance.DIFFERENCES) * len(chance.METRICS)
    assert "labels permuted" in save.with_suffix(".txt").read_text()
