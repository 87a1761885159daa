"""The scaling benchmark: rates and shares are what they say; growth is told from the start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import _growth, scaling
from bench._children import Cost, run_child
from bench._growth import FACTORS
from bench._streaming import overlap, products
from spectra.backend import select_backend


def test_products_are_compared_with_the_library() -> None:
    cell = products(select_backend("cpu"), 32, 500, 1)
    assert cell["library"] == "syrk, all cores"
    assert cell["products_alone"] > 0
    assert cell["share"] == pytest.approx(cell["gflops"] / cell["library_gflops"], rel=1e-3)
    assert cell["gflops"] > 0


def test_both_are_compared_with_the_longer_one(tmp_path: Path) -> None:
    cell = overlap(select_backend("cpu"), 32, 500, 1, tmp_path)
    longer = max(cell["read"], cell["multiply"])
    assert cell["both_over_larger"] == pytest.approx(cell["both"] / longer, rel=1e-3)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The jobs, of which none is run: a trace takes a tenth of a second, and the start two."""
    asked: list[tuple[str, ...]] = []

    def run(command: tuple[str, ...]) -> Cost:
        asked.append(command)
        name = next((part for part in command if "times" in part), "times0")
        return Cost(2.0 + 0.1 * int(name.rpartition("times")[2]), 10**8)

    monkeypatch.setattr(_growth, "run_child", run)
    return asked


def test_growth_is_proportional_after_the_start(
    commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    cells = _growth.growth(8, 1, 2, "cpu", tmp_path)
    assert [cell["rows"] for cell in cells] == [960 * factor for factor in FACTORS] * 3
    assert [cell["steps"] for cell in cells] == [40, 80, 160, 320] * 2 + [40] * 4
    assert len(commands) == 2 * 3 * len(FACTORS)
    for cell in cells:
        assert cell["start_up"] == pytest.approx(2.0)
        assert cell["over_proportional"] == pytest.approx(1.0)
        assert cell["peak_mb"] == 100


def test_the_whole_of_it(commands: list[tuple[str, ...]], tmp_path: Path) -> None:
    save = tmp_path / "small.json"
    sizes = ("--dims", "16,24", "--rows", "300", "--traces", "1", "--repeats", "1")
    result = CliRunner().invoke(scaling.app, [*sizes, "--backend", "cpu", "--save", str(save)])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert document == json.loads(save.read_text())
    assert [cell["d"] for cell in document["products"]] == [16, 24]
    assert [cell["d"] for cell in document["overlap"]] == [16, 24]
    assert document["start"][0]["job"] == "spectra run --help"
    for title in scaling.TITLES.values():
        assert title in save.with_suffix(".txt").read_text()


def test_a_child_is_not_charged_with_its_parents_memory() -> None:
    held = np.ones(40 << 20)  # 320 MB, which ru_maxrss would count
    del held
    assert 1e6 < run_child(("json.tool", "--help")).peak_bytes < 1e8


def test_growth_calls_real_options(tmp_path: Path) -> None:
    known = subprocess.run(
        (sys.executable, "-m", "spectra.cli", "run", "--help"),
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for option in _growth._run(tmp_path, "cpu", tmp_path, *_growth.ROWS_ALONE):
        assert not option.startswith("--") or option in known
