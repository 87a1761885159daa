"""Reading rows while the files change, the disk fails or the platform lacks a call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spectra import errors
from spectra.artifacts import open_artifact
from tests.artifact_files import SHARDS, rows, write_tiny


def test_unreadable_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny(tmp_path / "tiny")
    artifact = open_artifact(path)

    def refuse(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with artifact.open_rows(artifact.layer()) as reader:
        monkeypatch.setattr(os, "preadv", refuse, raising=False)
        with pytest.raises(errors.UnreadableFileError, match=r"shard000.* cannot be read: Input"):
            reader.read(0, 3)


def test_reads_without_preadv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = open_artifact(write_tiny(tmp_path / "tiny"))
    monkeypatch.delattr(os, "preadv", raising=False)
    with artifact.open_rows(artifact.layer()) as reader:
        assert reader.read(3, 27).tobytes() == rows(30, seed=5)[3:27].tobytes()


def test_a_shard_replaced_before_reading(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    artifact = open_artifact(path)
    (path / "new").write_bytes((path / SHARDS[1]).read_bytes())
    os.replace(path / "new", path / SHARDS[1])
    with pytest.raises(errors.ShardChangedError, match=r"shard001.* changed"):
        artifact.open_rows(artifact.layer()).__enter__()


def test_a_shard_cut_short_while_reading(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    artifact = open_artifact(path)
    reader = artifact.open_rows(artifact.layer()).__enter__()
    os.truncate(path / SHARDS[1], 100)
    with pytest.raises(errors.ShardChangedError, match=r"shard001.* ended at byte") as caught:
        reader.read(0, 30)
    reader.__exit__(errors.ShardChangedError, caught.value, None)


def test_a_shard_written_to_while_reading(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    artifact = open_artifact(path)
    reader = artifact.open_rows(artifact.layer()).__enter__()
    reader.read(0, 30)
    (path / SHARDS[1]).write_bytes(b"x")
    with pytest.raises(errors.ShardChangedError, match=r"shard001.* changed during the run"):
        reader.__exit__(None, None, None)


def test_another_error_is_not_hidden_by_the_check_on_closing(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    artifact = open_artifact(path)
    reader = artifact.open_rows(artifact.layer()).__enter__()
    (path / SHARDS[1]).write_bytes(b"x")
    reader.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
