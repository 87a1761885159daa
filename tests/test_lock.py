"""One process a directory: who comes second is told of the first, and nothing stays behind."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import spectra
from spectra.errors import DirectoryBusyError, OutputError
from spectra.lock import locked
from tests.artifact_files import write_tiny
from tests.cli_runs import call, files_under


@pytest.mark.parametrize("command", ["compare", "baselines"])
def test_other_writers_of_several_files_have_a_lock_each(here: Path, command: str) -> None:
    with locked(here / "out", f"{'comparison' if command == 'compare' else command}.lock"):
        result = call(command, "annotated_traces_reprs/tiny", "--out", "out")
    assert result.exit_code == 2
    assert f"out is being written by process {os.getpid()} on" in result.stderr
    assert not (here / "out").exists()


def test_directories_made_for_a_lock_go_with_it(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", "x.lock"):
        assert files_under(tmp_path) == {"a/b/x.lock"}
    assert os.listdir(tmp_path) == []
    with locked(tmp_path / "a" / "b", "x.lock"):
        (tmp_path / "a" / "kept").touch()
    assert files_under(tmp_path) == {"a/kept"}


def test_a_run_that_fails_leaves_no_directory(tmp_path: Path) -> None:
    write_tiny(tmp_path / "m")
    (tmp_path / "m" / "index.json").write_text("{")
    with pytest.raises(spectra.errors.JsonSyntaxError):
        spectra.run(tmp_path / "m", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def failing_flock(number: int) -> Callable[[int, int], None]:
    def flock(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def test_without_locks_a_run_goes_on_and_an_extraction_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs at once leave a mixture that run.json tells of; shards have no such record."""
    monkeypatch.setattr(fcntl, "flock", failing_flock(errno.ENOSYS))
    with locked(tmp_path / "a", "run.lock", required=False):
        assert files_under(tmp_path) == {"a/run.lock"}
    with pytest.raises(OutputError, match=r"extraction\.lock cannot be written: Function not impl"):
        enter(tmp_path / "a", "extraction.lock")
    monkeypatch.setattr(fcntl, "flock", failing_flock(errno.EIO))
    with pytest.raises(OutputError, match=r"run\.lock cannot be written: Input/output error"):
        enter(tmp_path / "a", "run.lock", required=False)


def enter(directory: Path, name: str, *, required: bool = True) -> None:
    with locked(directory, name, required=required):
        raise AssertionError("the lock was taken")


def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"x\.lock cannot be written"):
        enter(tmp_path, "x.lock")
    assert not (tmp_path / "elsewhere").exists()


def contend(directory: Path) -> int:
    """How often this thread had the lock; it fails where another has it at the same time."""
    had = 0
    for _ in range(300):
        try:
            with locked(directory / "made" / "here", "x.lock"):
                os.close(os.open(directory / "alone", os.O_CREAT | os.O_EXCL))
                os.unlink(directory / "alone")
                had += 1
        except DirectoryBusyError:
            continue
    return had


def test_of_many_only_one_has_it_at_a_time(tmp_path: Path) -> None:
    """Though each makes the directories and removes those that it made, if they are empty."""
    with ThreadPoolExecutor(3) as threads:
        had = list(threads.map(contend, [tmp_path] * 3))
    assert all(had)
    assert files_under(tmp_path) == set()
