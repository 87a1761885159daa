"""Writing artifacts: the layout on disk, streams of blocks, refusals, and what faults leave."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra import errors
from spectra.artifacts import Sample, open_artifact, write_artifact
from spectra.artifacts._source import Blocks
from tests.artifact_files import TOKENS, rows, samples, step, write_tiny


def write(path: Path, layers: dict[int, Blocks], parts: list[Sample] | None = None) -> Path:
    return write_artifact(
        path, model="tiny", layers=layers, samples=parts or samples(), final_norm=None
    )


def test_config_has_the_published_fields(tmp_path: Path) -> None:
    config = json.loads((write_tiny(tmp_path / "a") / "config.json").read_text())
    second = {"file": "hidden_states_layer5_shard001.safetensors"}
    assert config["shards"][1] == second | {"token_start": 10, "token_end": 30}
    assert config["layers"][1] == {"index": 5, "final_norm": False, "shards": config["shards"]}
    assert (config["layer"], config["saved_layers"]) == (5, [2, 5])
    assert (config["num_tokens"], config["num_samples"], config["num_steps"]) == (30, 2, 4)
    assert config["storage_dtype"] == "bfloat16"
    assert config["format_version"] == 1


def test_index_has_the_published_fields(tmp_path: Path) -> None:
    index = json.loads((write_tiny(tmp_path / "a") / "index.json").read_text())
    second = dict(index["samples"][1])
    steps = second.pop("steps")
    assert second == {
        "sample_id": "b",
        "problem_id": "p",
        "global_offset": 10,
        "num_tokens": 20,
        "prompt_tokens": 4,
    }
    assert steps[0] == {
        "token_start": 4,
        "token_end": 8,
        "global_start": 14,
        "global_end": 18,
        "segment": "thought",
        "category": "Deduction",
        "char_start": 0,
        "char_end": 9,
    }


def test_files_and_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = write_tiny(tmp_path / "a")
    finally:
        os.umask(before)
    names = [
        f"hidden_states_layer{layer}_shard00{n}.safetensors" for layer in (2, 5) for n in (0, 1)
    ]
    assert sorted(os.listdir(path)) == sorted([*names, "config.json", "index.json"])
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o644}


def test_data_is_aligned_to_8_bytes(tmp_path: Path) -> None:
    for file in write_tiny(tmp_path / "a").glob("*.safetensors"):
        assert int.from_bytes(file.read_bytes()[:8], "little") % 8 == 0


def test_same_input_same_bytes_also_over_an_older_artifact(tmp_path: Path) -> None:
    first, second = write_tiny(tmp_path / "a"), tmp_path / "b"
    write(second, {5: rows(TOKENS, seed=9)})
    write_tiny(second)
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


@given(borders=st.lists(st.integers(0, TOKENS), max_size=5), shard_rows=st.integers(1, 40))
def test_blocks_of_any_size(
    borders: list[int], shard_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    states = rows(TOKENS)
    cuts = sorted(borders)
    path = write_artifact(
        tmp_path_factory.mktemp("blocks"),
        model="m",
        layers={1: iter(np.split(states, cuts))},
        samples=samples(),
        final_norm=True,
        shard_rows=shard_rows,
    )
    artifact = open_artifact(path)
    ends = {shard.token_end for shard in artifact.layer().shards}
    assert ends == ({30} if shard_rows >= 30 else {10, 30})
    with artifact.open_rows(artifact.layer()) as reader:
        assert reader.read(0, TOKENS).tobytes() == states.tobytes()


def test_primary_layer_may_be_chosen(tmp_path: Path) -> None:
    path = write_artifact(
        tmp_path / "a",
        model="m",
        layers={3: rows(TOKENS), 1: rows(TOKENS)},
        samples=samples(),
        final_norm=None,
        primary=1,
    )
    assert open_artifact(path).config.layer == 1


def test_extra_fields_never_win(tmp_path: Path) -> None:
    path = write_artifact(
        tmp_path / "a",
        model="m",
        layers={1: rows(TOKENS)},
        samples=samples(),
        final_norm=None,
        extra={"model": "other", "revision": "abc"},
    )
    config = open_artifact(path).config
    assert (config.model, config.extra) == ("m", {"revision": "abc"})


REFUSED: list[tuple[dict[int, Blocks], type[errors.InputError], str]] = [
    ({1: rows(TOKENS - 1)}, errors.ShardShapeError, "ends 1 rows before"),
    ({1: rows(TOKENS + 2)}, errors.ShardShapeError, "2 rows more"),
    ({1: rows(TOKENS), 2: rows(TOKENS, 4)}, errors.ShardShapeError, "layer 2 of 4 bfloat16"),
    ({1: [rows(10), rows(20, 4)]}, errors.ShardShapeError, r"block of shape \[20, 4\]"),
    ({1: []}, errors.ShardShapeError, "no block of rows"),
    ({1: rows(TOKENS).astype(np.float64)}, errors.ShardDtypeError, "dtype float64"),
]


@pytest.mark.parametrize(("layers", "error", "text"), REFUSED)
def test_refuses_rows_that_do_not_fit(
    tmp_path: Path, layers: dict[int, Blocks], error: type[errors.InputError], text: str
) -> None:
    with pytest.raises(error, match=text):
        write(tmp_path / "a", layers)
    assert not (tmp_path / "a" / "config.json").exists()


def test_what_the_reader_would_refuse_is_not_begun(tmp_path: Path) -> None:
    wrong = Sample("s", None, 0, 30, None, (step(0, 20, 31, None, None),))
    with pytest.raises(errors.StepRangeError, match=r"samples\[0\].steps\[0\] \(sample 's'\)"):
        write(tmp_path / "a", {1: rows(TOKENS)}, [wrong])
    assert not (tmp_path / "a").exists()


def counting(original: Callable[..., Any], budget: list[int]) -> Callable[..., Any]:
    """`original`, until the shared budget of calls is spent: then the disk is full."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        budget[0] -= 1
        if budget[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **kwargs)

    return wrapped


def test_any_call_may_fail_and_a_rerun_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The N-th open, fsync, replace or unlink fails, for every N until a run passes untouched."""
    good = write_tiny(tmp_path / "good")
    allowed, budget = 0, [0]
    for allowed in range(200):
        path = tmp_path / f"run{allowed}"
        write(path, {5: rows(TOKENS, seed=1)})
        with monkeypatch.context() as patch:
            budget = [allowed]
            for name in ("open", "fsync", "replace"):
                patch.setattr(os, name, counting(getattr(os, name), budget))
            try:
                write_tiny(path)
                break
            except errors.OutputError:
                pass
        assert not list(path.glob("*.tmp"))
        if (path / "config.json").exists():
            open_artifact(path)
        write_tiny(path)
        for file in good.iterdir():
            assert file.read_bytes() == (path / file.name).read_bytes()
    assert allowed > 20
    assert budget[0] == 0
