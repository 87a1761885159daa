"""The weak scaling benchmark: what it runs, and what it makes of what was taken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import weak_scaling
from bench._children import JobError
from bench._together import run_together


def test_every_number_of_processes_has_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def run(command: Sequence[str], count: int) -> None:
        asked.append(count)
        src, out = Path(command[2]), Path(command[4])
        record: dict[str, object] = {"stages": {"read, multiply, solve": {"seconds": 2.0 * count}}}
        if count > 1:
            record["exchanged"] = {"bytes": 3e6, "seconds": 1.0, "waiting_seconds": 0.5}
        (out / src.name).mkdir(parents=True, exist_ok=True)
        (out / src.name / "run.json").write_text(json.dumps(record))

    monkeypatch.setattr(weak_scaling, "run_together", run)
    flags = ["--dim", "8", "--traces", "1", "--processes", "2,3", "--repeats", "2"]
    ended = CliRunner().invoke(weak_scaling.app, flags, catch_exceptions=False)
    assert ended.exit_code == 0
    assert asked == [1, 2, 3] * 3
    one, two, three = json.loads(ended.stdout.splitlines()[-1])["cells"]
    assert [cell["rows"] for cell in (one, two, three)] == [960, 1920, 2880]
    assert (one["over_one_process"], one["exchanging_share"], one["mb_a_second"]) == (
        1.0,
        0.0,
        None,
    )
    assert two["over_one_process"] == 2.0
    assert two["exchanging_share"] == 0.25
    assert two["mb_a_second"] == 3.0
    assert three["exchanging_share"] == pytest.approx(1 / 6, rel=1e-3)


def test_a_job_that_fails_ends_the_benchmark() -> None:
    with pytest.raises(JobError, match=r"spectra.cli x 1 ended with \[3\]: .*nowhere"):
        run_together(("spectra.cli", "run", "nowhere", "--out", "out"), 1)
