"""A tiny valid artifact to break in every way, and the means to break it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from spectra.artifacts import Sample, Step, open_artifact, write_artifact

DIM = 8
TOKENS = 30
SHARDS = ("hidden_states_layer5_shard000.safetensors", "hidden_states_layer5_shard001.safetensors")


def rows(count: int, dim: int = DIM, seed: int = 0) -> NDArray[Any]:
    """[count, dim] bfloat16, Gaussian."""
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(ml_dtypes.bfloat16)


def step(offset: int, start: int, end: int, segment: str | None, category: str | None) -> Step:
    return Step(start, end, offset + start, offset + end, segment, category, 0, 9)


def samples() -> list[Sample]:
    """Two traces of 10 and 20 tokens."""
    first = (step(0, 2, 5, "thought", "Deduction"), step(0, 5, 10, "solution", "Final Answer"))
    second = (step(10, 4, 8, "thought", "Deduction"), step(10, 9, 20, "thought", None))
    return [Sample("a", "p", 0, 10, 2, first), Sample("b", "p", 10, 20, 4, second)]


def write_tiny(path: Path) -> Path:
    """Layers 5 (two shards) and 2, of which 5 is the primary one."""
    layers = {2: rows(TOKENS, seed=2), 5: rows(TOKENS, seed=5)}
    return write_artifact(
        path, model="tiny", layers=layers, samples=samples(), final_norm=False, shard_rows=20
    )


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Rewrite the JSON file at `path` after `change` has worked on its document."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def edit_primary(path: Path, change: Callable[[Any], object]) -> None:
    """As `edit` for config.json, on both lists of the primary layer's shards."""

    def both(config: Any) -> None:
        change(config["shards"])
        change(next(entry for entry in config["layers"] if entry["index"] == 5)["shards"])

    edit(path / "config.json", both)


def safetensors_bytes(header: object, data: bytes) -> bytes:
    """A file of this header (bytes are taken as they are) and this data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def load_step_states(directory: Path, start: int, end: int) -> NDArray[Any]:
    """What the published card's snippet does: one shard is found, opened and sliced."""
    config = json.loads((directory / "config.json").read_text())
    for shard in config["shards"]:
        if shard["token_start"] <= start < shard["token_end"]:
            with safe_open(directory / shard["file"], framework="np") as tensors:
                states: NDArray[Any] = tensors.get_slice("hidden_states")[
                    start - shard["token_start"] : end - shard["token_start"]
                ]
                return states
    raise AssertionError(f"no shard holds row {start}")


def assert_snippet_agrees(directory: Path) -> None:
    artifact = open_artifact(directory)
    with artifact.open_rows(artifact.layer()) as reader:
        for raw in json.loads((directory / "index.json").read_text())["samples"]:
            for entry in raw["steps"]:
                start, end = entry["global_start"], entry["global_end"]
                ours = reader.read(start, end)
                theirs = load_step_states(directory, start, end)
                assert ours.dtype == theirs.dtype == ml_dtypes.bfloat16
                np.testing.assert_array_equal(ours.view(np.uint16), theirs.view(np.uint16))
