"""Outputs that are sent to places where they would lose something, or cannot be written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spectra
from spectra.artifacts import verify_artifact
from spectra.artifacts.manifest import MANIFEST_NAME
from spectra.errors import ArtifactNotFoundError
from tests.artifact_files import write_tiny
from tests.cli_runs import SMALL, call

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run."""
    path = tmp_path_factory.mktemp("run")
    write_tiny(path / "tiny")
    assert call("run", path / "tiny", "--out", path / "out", *SMALL).exit_code == 0
    return path / "out"


def spectra_process(
    args: str, directory: Path, *, closed: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, with its streams sent as a shell would, after `closed`."""
    command = f'exec "{sys.executable}" -m spectra.cli {args} {closed}'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=directory, env=env, capture_output=True, check=False
    )


@pytest.mark.parametrize("name", ["run.json", "metrics.csv", "thesis.html"])
def test_a_report_replaces_nothing_but_a_page(run: Path, name: str) -> None:
    path = run / "tiny" / name
    before = path.read_bytes() if path.exists() else b"\\documentclass"
    path.write_bytes(before)
    refused = call("report", run, "-o", path)
    assert refused.exit_code == 2
    assert "is there and is not a page of HTML; it stays as it is" in refused.stderr
    assert path.read_bytes() == before


def test_a_table_replaces_no_file_of_a_run(run: Path, tmp_path: Path) -> None:
    path = run / "tiny/metrics.csv"
    before = path.read_bytes()
    refused = call("table", run, "-o", path)
    assert refused.exit_code == 2
    assert "metrics.csv is a file of a run" in refused.stderr
    assert path.read_bytes() == before
    for _ in range(2):
        assert call("table", run, "-o", tmp_path / "metrics.csv").exit_code == 0


def test_a_manifest_does_not_follow_a_link_of_the_artifact(tmp_path: Path) -> None:
    """A stranger's directory may have one that leads to any file of the user's."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    artifact = write_tiny(tmp_path / "tiny")
    (artifact / MANIFEST_NAME).symlink_to(precious)
    verify_artifact(artifact, write=True)
    assert precious.read_text() == "mine"
    assert not (artifact / MANIFEST_NAME).is_symlink()
    assert verify_artifact(artifact).manifest == "compared"


def test_a_name_with_a_nul(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"'a\\x00b' cannot be a directory"):
        spectra.run("a\0b", tmp_path)


def test_a_full_disk_behind_stdout(run: Path) -> None:
    full = spectra_process("info tiny --json", run.parent, closed=">/dev/full")
    assert (full.returncode, full.stdout) == (3, b"")
    assert full.stderr.startswith(b"Error: the standard output cannot be written: No space left")


def test_a_full_disk_behind_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code tells, whatever can be printed."""

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("typer.echo", full)
    assert call("info", "nothing").exit_code == 3


def test_closed_streams_take_no_number_of_a_file(run: Path) -> None:
    """What is printed would go into it."""
    args = f"run tiny --out closed {' '.join(SMALL)}"
    assert spectra_process(args, run.parent, closed=">&- 2>&- <&-").returncode == 0
    whole, closed = run / "tiny", run.parent / "closed" / "tiny"
    names = [path.relative_to(whole) for path in whole.rglob("*.json") if path.name != "run.json"]
    assert len(names) == 4 * 4
    assert all((whole / name).read_bytes() == (closed / name).read_bytes() for name in names)


def test_a_working_directory_that_is_gone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    done = call("run", run.parent / "tiny", "--out", "out", *SMALL)
    assert done.exit_code == 2
    assert done.stderr == "Error: the working directory is gone. Change to one that is there.\n"
