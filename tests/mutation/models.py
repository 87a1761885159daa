"""Model directories and GGUF files to damage: opened, or their embeddings and tokenizer used."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file

from extract.decoder.families import spec_of
from extract.decoder.load import check_tensors, load_decoder
from extract.decoder.placement import Placement
from extract.weights import Checkpoint, open_checkpoint
from tests import extract_cases
from tests.mutation.subject import Parts, Subject
from tests.weight_files import write_gguf

_GGUF = "tiny.gguf"


def _write_directory(path: Path) -> None:
    """Weights in two files with an index, the template in a file of its own."""
    extract_cases.write_model(path, case="qwen3-v4", num_hidden_layers=2)
    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, path / file, {"format": "pt"})
    weight_map = {name: file for file, part in parts.items() for name in part}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "chat_template.jinja").write_text(extract_cases.TEMPLATE)
    tokens = {"bos_token": {"content": "<|end|>"}, "eos_token": "<|end|>"}
    (path / "special_tokens_map.json").write_text(json.dumps(tokens))


def _write_gguf(path: Path) -> None:
    path.mkdir()
    write_gguf(path / _GGUF)


def _place(path: Path) -> str:
    return str(path / _GGUF if path.name == "gguf" else path)


def _open(path: Path) -> Parts:
    yield from _opened(open_checkpoint(_place(path)))


def _opened(checkpoint: Checkpoint) -> Parts:
    yield repr(spec_of(checkpoint.config, checkpoint.config_where))
    yield repr(sorted(checkpoint.tensors.tensors.items()))


def _use(path: Path) -> Parts:
    checkpoint = open_checkpoint(_place(path))
    yield from _opened(checkpoint)
    tokenizer = checkpoint.tokenizer()
    yield tokenizer.render_prompt([{"role": "user", "content": "hi"}])
    yield tokenizer.encode("hi hi").ids.tobytes()
    spec = spec_of(checkpoint.config, checkpoint.config_where)
    check_tensors(spec, checkpoint.tensors, checkpoint.config_where)
    decoder = load_decoder(
        spec,
        checkpoint.tensors,
        blocks=0,
        norm=True,
        dtype=jnp.float32,
        placement=Placement(jax.devices("cpu")[:1]),
    )
    yield np.asarray(decoder.embed_tokens.weight[...]).tobytes()


DIRECTORY = Subject("model", 2, _write_directory, _open, _use)
GGUF = Subject("gguf", 2, _write_gguf, _open, _use)
