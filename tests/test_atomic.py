"""Atomic writing under faults: after any of them the old bytes or the new ones, and no debris."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra.atomic import replacing, write_bytes
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
