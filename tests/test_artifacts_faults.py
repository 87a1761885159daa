"""Every way in which an artifact can be wrong: its own error, naming file, field and numbers."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import socket
from pathlib import Path

import pytest

from spectra import artifacts, errors
from spectra.artifacts import open_artifact
from tests.artifact_files import DIM, SHARDS, edit, write_tiny
from tests.breaking import (
    Break,
    bounds,
    config,
    hard_link,
    header,
    instead,
    length,
    named,
    remove,
    sample,
    shard_bytes,
    shards,
    step,
    tensor,
    without,
)

TWO = {"F": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}

CASES: dict[str, tuple[Break, type[errors.InputError], str]] = {
    # config.json
    "no config": (remove("config.json"), errors.MissingFileError, "config.json does not exist"),
    "no index": (remove("index.json"), errors.MissingFileError, "index.json does not exist"),
    "config an array": (
        lambda path: (path / "config.json").write_text("[]"),
        errors.FieldTypeError,
        "config.json is an array of 0; expected an object",
    ),
    "no model": (
        without("config.json", "model"),
        errors.MissingFieldError,
        "config.json has no field 'model'",
    ),
    "no shards": (without("config.json", "shards"), errors.MissingFieldError, "'shards'"),
    "no num_tokens": (without("config.json", "num_tokens"), errors.MissingFieldError, "num_tokens"),
    "dim true": (config(hidden_dim=True), errors.FieldTypeError, "hidden_dim is true; expected"),
    "dim 8.0": (config(hidden_dim=8.0), errors.FieldTypeError, "hidden_dim is 8.0; expected"),
    "dim text": (config(hidden_dim="8"), errors.FieldTypeError, "hidden_dim is '8'; expected"),
    "dim 0": (config(hidden_dim=0), errors.FieldValueError, "from 1 to 9007199254740992"),
    "tokens huge": (config(num_tokens=2**53 + 1), errors.FieldValueError, "9007199254740993"),
    "model empty": (config(model=""), errors.FieldValueError, "model is empty"),
    "dtype": (config(storage_dtype="int8"), errors.FieldValueError, "storage_dtype is 'int8'"),
    "version": (config(format_version=2), errors.FieldValueError, "format_version is 2"),
    "samples": (config(num_samples=3), errors.TotalsError, "num_samples is 3 but .* holds 2"),
    "steps": (config(num_steps=5), errors.TotalsError, "num_steps is 5 but index.json holds 4"),
    "saved layers": (config(saved_layers=[5]), errors.LayerMismatchError, r"\[5\].*\[2, 5\]"),
    "saved text": (config(saved_layers=["5"]), errors.FieldTypeError, "saved_layers"),
    "layer": (config(layer=2), errors.LayerMismatchError, "named for layer 5 but listed for .* 2"),
    "norm": (
        lambda path: edit(
            path / "config.json", lambda document: document["layers"][0].update(final_norm="no")
        ),
        errors.FieldTypeError,
        r"config.json: layers\[0\]: final_norm is 'no'",
    ),
    "layers twice": (
        lambda path: edit(
            path / "config.json", lambda document: document["layers"].append(document["layers"][0])
        ),
        errors.LayerMismatchError,
        r"lists \[2, 5, 2\]",
    ),
    "primary not listed": (
        lambda path: edit(path / "config.json", lambda document: document["layers"].pop()),
        errors.LayerMismatchError,
        r"lists \[2\]; .* primary layer 5",
    ),
    "shards against layers": (
        lambda path: edit(
            path / "config.json",
            lambda document: document.update(
                shards=[document["shards"][0], {**document["shards"][1], "file": "other"}]
            ),
        ),
        errors.LayerMismatchError,
        "entry of layer 5 in layers list different",
    ),
    # names
    "parent": (named("../x"), errors.ShardNameError, "'../x' holds a path separator"),
    "absolute": (named("/etc/hosts"), errors.ShardNameError, "path separator"),
    "UNC": (named("\\\\host\\x"), errors.ShardNameError, "path separator"),
    "drive": (named("C:x"), errors.ShardNameError, "leads out of the directory"),
    "dot": (named("."), errors.ShardNameError, "leads out of the directory"),
    "NUL": (named("a\0b"), errors.ShardNameError, r"'a\\x00b' holds a NUL"),
    "surrogate": (named("\ud800"), errors.ShardNameError, "not valid Unicode"),
    "long": (named("n" * 256), errors.ShardNameError, "256 bytes long"),
    "empty name": (named(""), errors.FieldValueError, r"shards\[0\]: file is empty"),
    "number": (bounds(0, file=3), errors.FieldTypeError, "file is 3; expected a string"),
    "listed twice": (
        shards(lambda entries: entries[0].update(file=SHARDS[1])),
        errors.DuplicateShardError,
        "shard001.safetensors' is listed twice",
    ),
    # ranges
    "overlap": (bounds(1, token_start=8), errors.ShardRangeError, "overlap by 2 tokens"),
    "gap": (bounds(1, token_start=13), errors.ShardRangeError, r"\[13, 30\) leave a gap of 3"),
    "late start": (bounds(0, token_start=1), errors.ShardRangeError, "'the start'.*gap of 1"),
    "short": (bounds(1, token_end=29), errors.ShardRangeError, "ends at token 29, .* is 30"),
    "negative": (bounds(0, token_start=-1), errors.FieldValueError, "token_start is -1"),
    "backward": (bounds(0, token_start=11), errors.ShardRangeError, "11 lies after token_end 10"),
    # files
    "missing": (
        remove(*SHARDS),
        errors.MissingShardsError,
        r"2 of 4 shards .* missing: .*shard000.safetensors, .*shard001.safetensors. .*hf download",
    ),
    "hard link": (hard_link, errors.DuplicateShardError, "are two names of one file"),
    "directory": (instead(Path.mkdir), errors.NotARegularFileError, "is a directory"),
    "fifo": (instead(os.mkfifo), errors.NotARegularFileError, "is a FIFO"),
    "device": (
        instead(lambda path: path.symlink_to("/dev/zero")),
        errors.NotARegularFileError,
        "is a character device",
    ),
    "one byte short": (
        shard_bytes(lambda data: data[:-1]),
        errors.TruncatedShardError,
        r"expected (\d+) bytes, found",
    ),
    "half": (shard_bytes(lambda data: data[: len(data) // 2]), errors.TruncatedShardError, "found"),
    "in the header": (shard_bytes(lambda data: data[:40]), errors.TruncatedShardError, "found 40"),
    "5 bytes": (shard_bytes(lambda data: data[:5]), errors.TruncatedShardError, "at least 8.*5"),
    "0 bytes": (shard_bytes(lambda _: b""), errors.TruncatedShardError, "found 0"),
    "trailing": (shard_bytes(lambda data: data + b"x"), errors.TrailingBytesError, "so 1 are left"),
    "lfs": (
        shard_bytes(lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        errors.GitLfsPointerError,
        "is a Git-LFS pointer, not the data",
    ),
    # headers
    "length 2^40": (length(2**40), errors.ShardHeaderError, "1,099,511,627,776 bytes"),
    "length 2^63": (length(2**63), errors.ShardHeaderError, "9,223,372,036,854,775,808 bytes"),
    "header no JSON": (header(b"hidden_states"), errors.JsonSyntaxError, "header is not JSON"),
    "header deep": (header(b"[" * 100_000), errors.JsonDepthError, "header: arrays and"),
    "header twice": (header(b'{"a":1,"a":1}'), errors.JsonDuplicateKeyError, "'a' 2 times"),
    "header array": (header([]), errors.FieldTypeError, "expected an object"),
    "entry null": (header({"hidden_states": None}), errors.FieldTypeError, "is null"),
    "no offsets": (
        header({"hidden_states": {"dtype": "BF16", "shape": [1]}}),
        errors.MissingFieldError,
        "data_offsets",
    ),
    "dtype unknown": (tensor(dtype="BF17"), errors.ShardHeaderError, "dtype 'BF17' is not one"),
    "shape negative": (tensor(shape=[-20, DIM]), errors.ShardHeaderError, r"shape is \[-20, 8\]"),
    "shape true": (tensor(shape=[True, 160]), errors.ShardHeaderError, "expected non-negative"),
    "offsets wrong": (
        tensor(data_offsets=[0, 318]),
        errors.ShardHeaderError,
        r"\[0, 318\] do not fit shape \[20, 8\] of dtype BF16, which needs 320 bytes",
    ),
    "offsets three": (tensor(data_offsets=[0, 1, 320]), errors.ShardHeaderError, "do not fit"),
    "overlap in data": (
        header({**TWO, "G": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}),
        errors.ShardHeaderError,
        r"tensor 'G' at bytes \[2, 6\) overlaps tensor 'F', which ends at 4",
    ),
    "gap in data": (
        header({**TWO, "G": {"dtype": "U8", "shape": [4], "data_offsets": [5, 9]}}),
        errors.ShardHeaderError,
        "leaves a gap after tensor 'F'",
    ),
    "no tensor": (
        header({"states": {"dtype": "U8", "shape": [320], "data_offsets": [0, 320]}}),
        errors.MissingTensorError,
        "no tensor 'hidden_states'; its tensors are: 'states'",
    ),
    "other dtype": (tensor(dtype="F16"), errors.ShardDtypeError, "F16, but .* bfloat16"),
    "ndim": (tensor(shape=[20, DIM, 1]), errors.ShardShapeError, r"\[20, 8, 1\].*\[20, 8\]"),
    "width": (tensor(shape=[40, 4]), errors.ShardShapeError, r"\[40, 4\].*\[20, 8\]"),
    "rows": (
        tensor(shape=[19, DIM], data_offsets=[0, 304]),
        errors.TrailingBytesError,
        "16 are left over",
    ),
    # index.json
    "sample id twice": (
        sample(1, sample_id="a"),
        errors.DuplicateSampleError,
        r"samples\[0\] and samples\[1\] both have the sample_id 'a'",
    ),
    "sample past end": (
        sample(1, num_tokens=21),
        errors.SampleRangeError,
        r"rows \[10, 31\), but the shards end at 30",
    ),
    "samples overlap": (
        sample(0, num_tokens=11),
        errors.SampleRangeError,
        "'b' begins at row 10, inside sample 'a' which ends at 11",
    ),
    "prompt": (sample(0, prompt_tokens=11), errors.FieldValueError, "prompt_tokens is 11"),
    "steps null": (sample(0, steps=None), errors.FieldTypeError, "steps is null"),
    "step an array": (sample(0, steps=[[]]), errors.FieldTypeError, "steps.0. .sample 'a'. is an"),
    "id null": (sample(0, sample_id=None), errors.FieldTypeError, "sample_id is null"),
    "problem": (sample(0, problem_id=1.5), errors.FieldTypeError, "problem_id is 1.5"),
    "step 3.0": (step(token_start=4.0), errors.StepRangeError, "token_start is 4.0; expected"),
    "step true": (step(global_start=True), errors.StepRangeError, "global_start is true"),
    "step text": (step(global_end="18"), errors.StepRangeError, "global_end is '18'"),
    "step null": (step(global_end=None), errors.StepRangeError, "global_end is null"),
    "step huge": (step(token_end=2**53 + 1), errors.StepRangeError, "is 9007199254740993"),
    "step negative": (step(token_start=-1, global_start=9), errors.StepRangeError, "is -1"),
    "step backward": (step(token_start=9, global_start=19), errors.StepRangeError, "token_start 9"),
    "step past": (step(token_end=21, global_end=31), errors.StepRangeError, "of 20 tokens"),
    "step unlike": (step(global_start=15), errors.StepRangeError, "global_start 15"),
    "step segment": (step(segment=1), errors.FieldTypeError, "segment is 1; expected a string"),
    "step category": (step(category=[]), errors.FieldTypeError, "category is an array of 0"),
    "step character": (step(char_start=1.0), errors.FieldTypeError, "char_start is 1.0"),
}


@pytest.mark.parametrize("name", CASES)
def test_fault(tmp_path: Path, name: str) -> None:
    spoil, error, text = CASES[name]
    path = write_tiny(tmp_path / "tiny")
    spoil(path)
    with pytest.raises(errors.InputError) as caught:
        open_artifact(path)
    message = str(caught.value)
    assert type(caught.value) is error
    assert re.search(text, message), message
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 900
    assert caught.value.exit_code == 3


def test_step_without_a_range_is_named(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny")
    edit(path / "index.json", lambda index: index["samples"][1]["steps"][1].pop("global_end"))
    with pytest.raises(errors.MissingFieldError, match=r"samples\[1\].steps\[1\] .sample 'b'. has"):
        open_artifact(path)


def test_socket_in_place_of_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny(tmp_path / "tiny")
    (path / SHARDS[1]).unlink()
    monkeypatch.chdir(path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SHARDS[1])
        with pytest.raises(errors.NotARegularFileError, match="is a socket"):
            open_artifact(path)


def test_every_error_that_the_package_raises_has_a_case() -> None:
    raised: set[object] = set()
    for module in pkgutil.iter_modules(artifacts.__path__, f"{artifacts.__name__}."):
        found = vars(importlib.import_module(module.name)).values()
        raised |= {x for x in found if isinstance(x, type) and issubclass(x, errors.InputError)}
    tested = {error for _, error, _ in CASES.values()}
    # These have tests of their own, here, in test_artifacts.py and in test_artifacts_manifest.py.
    own = {errors.InputError, errors.ShardChangedError, errors.ArtifactNotFoundError}
    own |= {errors.ManifestError, errors.ManifestMismatchError}
    assert raised - tested == own
