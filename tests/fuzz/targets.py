"""What is fuzzed: each target reads bytes, and fails on anything but a value or a clean error.

A target does without JAX, so that an input takes microseconds. Where there is a value, what must
hold of it is asserted: a round trip, a tiling, a range.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from extract.decoder.families import spec_of
from extract.store.journal import read_journal
from extract.traces import read_traces, write_traces
from extract.traces.check import check_traces
from extract.weights._shards import read_index
from extract.weights._texts import read_texts
from extract.weights.gguf import open_gguf
from spectra import strict_json
from spectra.artifacts._config import parse_config, settle_counts
from spectra.artifacts._index import parse_index
from spectra.artifacts.header import read_header, read_tensors
from spectra.artifacts.layout import Index, Layer, Shard
from spectra.artifacts.manifest import MANIFEST_NAME, checked_manifest
from spectra.artifacts.rows import DTYPES, RowReader
from spectra.categories import IDENTITY, load_map
from spectra.errors import SpectraError
from spectra.grouping import Steps
from spectra.results.read import pool_folders, run_record
from tests.artifact_files import samples
from tests.mutation.subject import check_error

Target = Callable[[bytes, Path], None]
"""Takes the input, and an empty directory of its own."""

TOKENS = 30
"""Rows of the artifact that indices are read for."""


def run(target: Target, data: bytes, directory: Path) -> str:
    """The name of the error's class, or "read"; raises whatever must not be."""
    try:
        target(data, directory)
    except SpectraError as error:
        check_error(error, str(directory))
        return type(error).__name__
    return "read"


def _json(data: bytes, directory: Path) -> None:
    value = strict_json.loads(data, where=str(directory))
    for indent in (None, 1):
        text = strict_json.dumps(value, indent=indent)
        assert strict_json.loads(text.encode(), where="again") == value


def _config(data: bytes, directory: Path) -> None:
    where = str(directory / "config.json")
    raw = strict_json.loads(data, where=where)
    config = parse_config(raw, where)
    for layer in config.layers:
        ends = [0, *(shard.token_end for shard in layer.shards)]
        starts = [*(shard.token_start for shard in layer.shards), config.num_tokens]
        assert starts == ends
        assert all(os.path.basename(shard.file) == shard.file for shard in layer.shards)
    assert config.layer in {layer.index for layer in config.layers}
    settled = settle_counts(config, raw, where, Index(tuple(samples())))
    assert (settled.num_samples, settled.num_steps) == (2, 4)


def _index(data: bytes, directory: Path) -> None:
    where = str(directory / "index.json")
    index = parse_index(strict_json.loads(data, where=where), where, TOKENS)
    rows = [(s.global_offset, s.global_offset + s.num_tokens) for s in index.samples]
    assert all(0 <= start <= end <= TOKENS for start, end in rows)
    assert all(a <= b for (_, a), (b, _) in pairwise(sorted(r for r in rows if r[0] < r[1])))
    for sample, (start, end) in zip(index.samples, rows, strict=True):
        for step in sample.steps:
            assert start <= step.global_start <= step.global_end <= end
    steps = Steps.of(index.samples, IDENTITY)
    assert int(steps.length.min(initial=0)) >= 0
    "\n".join(index.warnings).encode("utf-8", "strict")


def _shard(data: bytes, directory: Path) -> None:
    path = directory / "hidden_states_layer5_shard000.safetensors"
    path.write_bytes(data)
    header = read_tensors(path)
    assert header.data_start + max((t.end for t in header.tensors), default=0) == len(data)
    one = read_header(path)
    stored = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}.get(one.dtype)
    if stored is None or len(one.shape) != 2:
        return
    rows, dim = one.shape
    layer = Layer(5, None, (Shard(path.name, 0, rows),))
    with RowReader(directory, layer, {path.name: one}, stored, dim) as reader:
        block = reader.read(0, min(rows, 100))
    assert block.dtype == DTYPES[stored]
    size = block.nbytes
    assert block.tobytes() == data[one.offset : one.offset + size]


def _manifest(data: bytes, directory: Path) -> None:
    """Of a directory with one file."""
    (directory / "one.safetensors").write_bytes(b"1")
    (directory / MANIFEST_NAME).write_bytes(data)
    found = checked_manifest(directory)
    assert found is not None
    assert "one.safetensors" in found
    for name, digest in found.items():
        content = (directory / name).read_bytes()
        assert digest.sha256 == hashlib.sha256(content).hexdigest()
        assert digest.size == len(content)


def _categories(data: bytes, directory: Path) -> None:
    path = directory / "map.toml"
    path.write_bytes(data)
    made = load_map(path)
    for label, macro in made.labels.items():
        assert made.macro(label) == macro
    assert made.unmapped(made.labels) == ()


def _traces(data: bytes, directory: Path) -> None:
    path, copy = directory / "traces.jsonl", directory / "copy.jsonl"
    path.write_bytes(data)
    traces = list(read_traces(path))
    check = check_traces(traces)
    assert check.traces == len(traces)
    assert check.step_characters <= check.characters
    write_traces(copy, traces)
    assert list(read_traces(copy)) == traces


def _model(data: bytes, directory: Path) -> None:
    where = str(directory / "config.json")
    raw = strict_json.loads(data, where=where)
    spec = spec_of(cast(Any, raw) if isinstance(raw, dict) else {}, where)
    assert len(spec.kinds) >= 1
    for kind in spec.kinds:
        assert len(kind.rope.frequencies) == spec.head_dim // 2
        assert np.isfinite(np.array(kind.rope.frequencies)).all()
        assert np.isfinite(kind.rope.scale)


def _weight_map(data: bytes, directory: Path) -> None:
    (directory / "model.safetensors.index.json").write_bytes(data)
    for name in read_index(directory).values():
        assert os.path.basename(name) == name


def _texts(data: bytes, directory: Path) -> None:
    (directory / "tokenizer_config.json").write_bytes(data)
    texts = read_texts(directory)
    assert all(isinstance(token, str) for token in texts.special_tokens.values())
    assert texts.chat_template is None or isinstance(texts.chat_template, str)


def _gguf(data: bytes, directory: Path) -> None:
    path = directory / "tiny-Q8_0.gguf"
    path.write_bytes(data)
    checkpoint = open_gguf(path)
    strict_json.dumps(dict(checkpoint.provenance))
    spec_of(checkpoint.config, checkpoint.config_where)
    for name, info in checkpoint.tensors.tensors.items():
        if name.split(".")[-2] in {"q_proj", "k_proj"}:
            continue  # put in order by heads: read only once shapes have been compared
        assert checkpoint.tensors.read(name).shape == info.shape


def _run_record(data: bytes, directory: Path) -> None:
    (directory / "run.json").write_bytes(data)
    primary, folders = pool_folders(directory, run_record(directory))
    assert folders
    for folder in folders.values():
        assert not Path(folder).is_absolute()
        assert ".." not in Path(folder).parts
    strict_json.dumps(primary)


def _journal(data: bytes, directory: Path) -> None:
    (directory / "extraction.journal").write_bytes(data)
    record, finished = read_journal(directory / "extraction.journal")
    assert isinstance(record, dict)
    assert all(type(number) is int for number in finished)


TARGETS: dict[str, Target] = {
    "json": _json,
    "config": _config,
    "index": _index,
    "shard": _shard,
    "manifest": _manifest,
    "categories": _categories,
    "traces": _traces,
    "model": _model,
    "weight_map": _weight_map,
    "texts": _texts,
    "gguf": _gguf,
    "run_record": _run_record,
    "journal": _journal,
}
