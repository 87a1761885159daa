"""The full check: hashes of every file, rows that are not finite, and the errors of the door."""

from __future__ import annotations

import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from spectra import errors
from spectra.artifacts import NonFinite, open_artifact, verify_artifact
from spectra.engine.source import pilot
from tests.artifact_files import DIM, SHARDS, rows, write_tiny


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_verify_finds_the_first_row_that_is_not_finite(tmp_path: Path, value: float) -> None:
    path = write_tiny(tmp_path / "tiny")
    states = rows(30, seed=5)
    states[17, 3] = states[17, 6] = states[21, 0] = ml_dtypes.bfloat16(value)
    data = (path / SHARDS[1]).read_bytes()
    (path / SHARDS[1]).write_bytes(data[: -20 * DIM * 2] + states[10:].tobytes())
    second, fifth = verify_artifact(path).layers
    assert (second.nonfinite_rows, second.first_nonfinite) == (0, None)
    assert fifth.nonfinite_rows == 2
    assert fifth.first_nonfinite == NonFinite(17, 3, SHARDS[1], "b")


def test_verify_hashes_every_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    before = verify_artifact(path)
    data = bytearray((path / SHARDS[1]).read_bytes())
    data[-1] ^= 1
    (path / SHARDS[1]).write_bytes(data)
    after = verify_artifact(path)
    assert {file.name for file in before.files} == set(os.listdir(path))
    assert sum(file.size for file in before.files) == sum(f.stat().st_size for f in path.iterdir())
    changed = [a.name for a, b in zip(after.files, before.files, strict=True) if a != b]
    assert changed == [SHARDS[1]]


def test_verify_raises_as_open_does(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    (path / SHARDS[1]).write_bytes(b"")
    with pytest.raises(errors.TruncatedShardError):
        verify_artifact(path)


def test_a_signalling_nan_is_found_without_a_warning(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    shard = path / SHARDS[0]
    data = bytearray(shard.read_bytes())
    data[-2 * DIM :] = 2 * DIM * b"\0"
    data[-2:] = (0x7F81).to_bytes(2, "little")  # as one flipped bit can make of an infinity
    shard.write_bytes(data)
    found = verify_artifact(str(path)).layers[1]
    assert found.index == 5
    assert found.first_nonfinite is not None
    assert (found.nonfinite_rows, found.first_nonfinite.column) == (1, DIM - 1)
    artifact = open_artifact(path)
    with artifact.open_rows(artifact.layer()) as reader:
        assert np.isfinite(pilot(reader)).all()
