"""A stopped extraction to damage: gone on with, to the bytes of one that nothing stopped."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from extract.store import Plan, Store, opening
from extract.store.journal import JOURNAL_NAME
from tests.mutation.file_edits import Place
from tests.mutation.subject import Parts, Subject
from tests.store_cases import contents, extract, small_plan, traces

_STOP_AFTER = 2
"""Batches."""


class _StoppedError(Exception):
    """In the middle of an extraction."""


@cache
def _plan() -> Plan:
    return small_plan(traces(12), shard_rows=100)


def _write(path: Path) -> None:
    def stop(store: Store, count: int) -> None:
        while (path / JOURNAL_NAME).read_bytes().count(b"\n") < count + 2:
            pass  # until its line is there
        if count + 1 == _STOP_AFTER:
            raise _StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "JOURNAL_INTERVAL", 0.0)
        with pytest.raises(_StoppedError):
            extract(path, _plan(), after=stop)


def _go_on(path: Path) -> Parts:
    """In a copy, for it changes the directory."""
    copy = path.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    _copy(path, copy)
    try:
        for name, data in sorted(contents(extract(copy, _plan())).items()):
            yield from (name, data)
    finally:
        shutil.rmtree(copy)


def _copy(path: Path, copy: Path) -> None:
    """All of it, what is no regular file too."""
    copy.mkdir()
    for entry in path.iterdir():
        there = copy / entry.name
        if entry.is_symlink():
            there.symlink_to(entry.readlink())
        elif entry.is_fifo():
            os.mkfifo(there)
        elif entry.is_dir():
            there.mkdir()
        else:
            shutil.copyfile(entry, there)


def _never(place: Place) -> None:
    """Rows that damage changed are computed again, or refused."""
    raise AssertionError("damage went into the finished artifact")


STOPPED = Subject("resume", 1, _write, _go_on, _go_on, told=_never)
