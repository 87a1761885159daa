"""The bench of plans compares a plan with a run of the same numbers; no time is asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.planning import app


def test_the_whole_of_it(tmp_path: Path) -> None:
    save = tmp_path / "small.json"
    args = ["--dims", "16", "--traces", "1", "--save", str(save)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert document == json.loads(save.read_text())
    assert [cell["jackknife"] for cell in document["cells"]] == ["first-order", "off"]
    for cell in document["cells"]:
        assert cell["rows"] == 960
        planned, measured = cell["planned_seconds"], cell["measured_seconds"]
        assert cell["ratio"] == pytest.approx(planned / measured, rel=1e-2)
        assert cell["planned_passes"] == cell["measured_passes"] == 1
        assert min(cell["planned_mb"], cell["measured_mb"]) > 0
    assert "Planned and measured" in save.with_suffix(".txt").read_text()
