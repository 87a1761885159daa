"""Valid inputs of each target, for a fuzzer to begin with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from gguf import GGMLQuantizationType

from spectra.artifacts.digest import digest_file
from spectra.artifacts.manifest import write_manifest
from spectra.outputs import FILES
from tests.artifact_files import SHARDS, safetensors_bytes, write_tiny
from tests.decoder_cases import CASES
from tests.trace_lines import PACK, line, step
from tests.weight_files import PARTS, TEMPLATE, gguf_tensors, write_gguf, write_model

_MESSAGES = [{"role": "user", "content": "2 + 2?", "more": [{"a": 1}]}]
_NAMED = [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": "{{ x }}"}]


def seeds(target: str) -> list[bytes]:
    """A few small inputs that are read."""
    with tempfile.TemporaryDirectory() as directory:
        return list(_MADE[target](Path(directory)))


def _artifact(name: str, path: Path) -> bytes:
    return (write_tiny(path) / name).read_bytes()


def _config(path: Path) -> Iterator[bytes]:
    data = _artifact("config.json", path)
    yield data
    card = {k: v for k, v in json.loads(data).items() if k not in ("layers", "saved_layers")}
    yield json.dumps(card).encode()


def _index(path: Path) -> Iterator[bytes]:
    yield _artifact("index.json", path)
    bare = {"sample_id": 7, "global_offset": 3, "num_tokens": 9}
    yield json.dumps(
        {"samples": [{**bare, "steps": [{"global_start": 4, "global_end": 6}]}]}
    ).encode()


def _shard(path: Path) -> Iterator[bytes]:
    yield _artifact(SHARDS[1], path)
    entries = {
        "hidden_states": {"dtype": "F32", "shape": [2, 3], "data_offsets": [4, 28]},
        "more": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]},
        "__metadata__": {"format": "pt"},
    }
    yield safetensors_bytes(entries, bytes(28))


def _json(path: Path) -> Iterator[bytes]:
    for make in (_config, _index, _run_record, _texts):
        yield from make(path)
    yield b'[1.5, -2e-7, true, null, "\\ud83d\\ude00 \\ud800", {"": []}]'


def _manifest(path: Path) -> Iterator[bytes]:
    path = path / "listed"
    path.mkdir()
    (path / "one.safetensors").write_bytes(b"1")
    yield write_manifest(path, [digest_file(path, "one.safetensors")]).read_bytes()
    yield f"{digest_file(path, 'one.safetensors').sha256} *one.safetensors\n".encode()


def _categories(path: Path) -> Iterator[bytes]:
    yield resources.files("spectra.categories").joinpath("schoenfeld.toml").read_bytes()
    yield b'name = "mine"\nsource = "s"\n[categories]\nA = ["b", "c-d"]\n"E f" = ["""g""", \'h\']\n'


def _traces(path: Path) -> Iterator[bytes]:
    messages = line(trace_id=2, prompt=..., messages=_MESSAGES, response_token_ids=[1, 2])
    lines = (line(), messages, line(trace_id="c", steps=[step(3, 3), step(0, 2, "THINK", " a  b")]))
    text = "".join(json.dumps(value) + "\n" for value in lines).encode()
    for pack in PACK.values():
        yield pack(text)


def _model(path: Path) -> Iterator[bytes]:
    for config in CASES.values():
        yield json.dumps(config).encode()


def _weight_map(path: Path) -> Iterator[bytes]:
    yield (write_model(path, parts=PARTS) / "model.safetensors.index.json").read_bytes()


def _texts(path: Path) -> Iterator[bytes]:
    yield json.dumps({"bos_token": {"content": "<s>"}, "chat_template": _NAMED}).encode()
    yield json.dumps({"eos_token": "</s>", "chat_template": TEMPLATE}).encode()


def _gguf(path: Path) -> Iterator[bytes]:
    """Without its blocks, which make it large and which nothing compares with its config here."""
    path.mkdir(exist_ok=True)
    blocks = [name for name in gguf_tensors() if name.startswith("blk.")]
    packed = {"token_embd.weight": GGMLQuantizationType.Q8_0}
    for kinds in ({}, packed):
        yield write_gguf(path / "tiny.gguf", without=blocks, kinds=kinds).read_bytes()


def _run_record(path: Path) -> Iterator[bytes]:
    folders = ("pool_all", "pool_mean", "layer_2/pool_all")
    outputs = {f"{folder}/{name}": "0" * 64 for folder in folders for name in FILES}
    record = {"format_version": 1, "layers": [5, 2], "warnings": [], "outputs": outputs}
    yield json.dumps(record).encode()


def _journal(path: Path) -> Iterator[bytes]:
    record = {"plan": {"sha256": "0", "saved_layers": [1]}, "fingerprint": {"model": "m"}}
    batches = ({"batch": number, "samples": ["a"]} for number in (0, 3, 1))
    yield "".join(json.dumps(value) + "\n" for value in (record, *batches)).encode()


_MADE = {
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
