"""A full disk is foreseen: what a run's files will take, and the refusal before it computes."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spectra
from spectra.backend.host import HostBackend
from spectra.errors import OutputError
from spectra.preparation import prepare
from tests.cli_runs import call
from tests.test_engine import CONFIG, make

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("influences", [False, True])
def test_the_estimate_is_near_what_is_written(tmp_path: Path, influences: bool) -> None:
    src = make(tmp_path / "m")
    config = replace(CONFIG, influences=influences)
    expected = prepare(src, config, HostBackend(1)).output_bytes(config)
    (run,) = spectra.run(src, tmp_path / "out", config)
    written = sum(path.stat().st_size for path in run.out.rglob("*") if path.is_file())
    assert written <= expected <= 4 * written


def test_a_disk_without_room_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = make(tmp_path / "m")
    needed = prepare(src, CONFIG, HostBackend(1)).output_bytes(CONFIG)

    def never(*_: Any) -> Any:
        raise AssertionError("computed")

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, needed - 1))
    monkeypatch.setattr("spectra.pipeline.evaluate_layer", never)
    with pytest.raises(OutputError, match=r"need about .* MB, and the disk has .* MB free"):
        spectra.run(src, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()
    for more in ((), ("--dry-run",)):
        result = call("run", str(src), "--out", str(tmp_path / "out"), *more)
        assert result.exit_code == 3
        assert "Nothing was computed or written" in result.stderr
        assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_both(tmp_path: Path) -> None:
    result = call("run", str(make(tmp_path / "m")), "--out", str(tmp_path / "out"), "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "would write about" in result.stdout
    assert "free)" in result.stdout
