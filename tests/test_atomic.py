"""Atomic writing under faults: after any of them the old bytes or the new ones, and no debris."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra import staging
from spectra.atomic import replacing, sweep, write_bytes, write_together
from spectra.errors import OutputError


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.json"]


def test_mode_is_readable_by_all(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "out", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o644


def test_a_name_of_the_greatest_length(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("n" * 255), b"x")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OutputError, match=r"fifo is there and is not a regular file; it stays"):
        write_bytes(fifo, b"x")
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert os.listdir(tmp_path) == ["fifo"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to("file")
    for content in (b"new", b"newer"):
        write_bytes(link, content)
        assert link.is_symlink()
        assert file.read_bytes() == content


def failing_at(call: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, but its `call`-th call finds the disk full."""
    calls = iter(range(1, 1000))

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize(
    ("name", "call", "left"),
    [
        ("open", 1, b"old"),
        ("fsync", 1, b"old"),
        ("replace", 1, b"old"),
        ("open", 2, b"new"),
        ("fsync", 2, b"new"),
    ],
)
def test_every_system_call_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int, left: bytes
) -> None:
    path = tmp_path / "out"
    write_bytes(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing_at(call, getattr(os, name)))
        with pytest.raises(OutputError, match=r"out cannot be written: No space left"):
            write_bytes(path, b"new")
    assert path.read_bytes() == left
    assert os.listdir(tmp_path) == ["out"]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_body_may_fail(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write_bytes(path, b"old")

    def interrupted() -> None:
        with replacing(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory") as caught:
        write_bytes(tmp_path / "absent" / "out", b"x")
    assert caught.value.exit_code == 3


# ---- what killed writers left ------------------------------------------------------------------


def left_by_a_killed_writer(target: Path) -> Path:
    """As a kill in the middle of writing leaves it: whole names, no lock."""
    with staging.staged(target) as (stream, path):
        stream.write(b"half")
    return path


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path, other = tmp_path / "report.html", tmp_path / "table.csv"
    left_by_a_killed_writer(path)
    kept = left_by_a_killed_writer(other)
    (tmp_path / ".spectra-notes.tmp").write_bytes(b"somebody's")
    write_bytes(path, b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([kept.name, ".spectra-notes.tmp", "report.html"])
    write_together({other: b"1", path: b"2"}, path)
    assert sorted(os.listdir(tmp_path)) == [".spectra-notes.tmp", "report.html", "table.csv"]


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    """By two writers of one file, the last of whom wins, and from a directory that is swept."""
    path = tmp_path / "out"
    with replacing(path) as slow:
        slow.write(b"slow")
        write_bytes(path, b"quick")
        sweep(tmp_path)
        assert len(os.listdir(tmp_path)) == 2
    assert path.read_bytes() == b"slow"
    assert os.listdir(tmp_path) == ["out"]


def test_what_another_host_left_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "another")
        left = left_by_a_killed_writer(tmp_path / "out")
    write_bytes(tmp_path / "out", b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([left.name, "out"])


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells whether a writer is there, so nothing of it goes; writing does."""

    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    left = left_by_a_killed_writer(tmp_path / "out")
    monkeypatch.setattr("fcntl.flock", no_locks)
    write_bytes(tmp_path / "out", b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([left.name, "out"])
    sweep(tmp_path)  # who calls this knows that nobody else writes there
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir, lambda path: os.symlink("out", path)])
def test_what_is_no_file_stays(tmp_path: Path, made: Callable[[Path], object]) -> None:
    left = left_by_a_killed_writer(tmp_path / "out")
    left.unlink()
    made(left)
    write_bytes(tmp_path / "out", b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([left.name, "out"])


def test_one_that_is_taken_for_abandoned_before_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the other process holds it still or has removed it: another name is taken."""
    path = tmp_path / "out"
    flock, calls = fcntl.flock, iter(range(10))

    def late(handle: int, how: int) -> None:
        if next(calls) == 0:
            staging.remove_abandoned(path, tmp_path)
        flock(handle, how)

    monkeypatch.setattr("fcntl.flock", late)
    write_bytes(path, b"new")
    assert next(calls) == 3
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]

    busy = iter([True, False])

    def held(handle: int, how: int) -> None:
        if next(busy):
            raise BlockingIOError

    monkeypatch.setattr("fcntl.flock", held)
    write_bytes(path, b"newer")
    assert path.read_bytes() == b"newer"
