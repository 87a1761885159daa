"""The README's claims that a machine can check: its snippet runs, its names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spectra.outputs import FILES
from spectra.statistics import METRICS, PRESETS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    rank, rest = map(float, capsys.readouterr().out.split())
    assert 1 < rest < rank < 120


def test_every_statistic_preset_and_file_is_named() -> None:
    for name in (*METRICS, *PRESETS, *FILES, "metrics.csv", "run.json"):
        assert f"`{name}`" in README or f" {name} " in README, name


def test_every_path_in_the_file_tree_exists() -> None:
    tree = README.split("## The code")[1].split("```")[1]
    for word in re.findall(r"[a-z_]+(?:/|\.py)", tree):
        assert any((ROOT / place / word).exists() for place in ("", "spectra", "extract")), word
