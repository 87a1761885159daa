"""Tiny checkpoints to open, and to break in every way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

CONFIG = {"model_type": "llama", "hidden_size": 8}
TEMPLATE = "{{ messages[0]['content'] }}"
TOKENIZER = {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}


def tensors(seed: int = 0) -> dict[str, NDArray[Any]]:
    """One of each dtype that is read."""
    rng = np.random.default_rng(seed)
    values = {name: rng.standard_normal((6, 4)) for name in ("a.weight", "b.weight", "c.weight")}
    dtypes = (ml_dtypes.bfloat16, np.float16, np.float32)
    cast = {k: v.astype(t) for (k, v), t in zip(values.items(), dtypes, strict=True)}
    return cast | {"scale": np.float32(3) * np.ones(5, np.float32)}


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_model(path: Path, *, parts: Sequence[Sequence[str]] | None = None) -> Path:
    """A model directory: one file of weights, or one for each of `parts` and an index."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "config.json", CONFIG)
    write_json(path / "tokenizer.json", TOKENIZER)
    write_json(path / "tokenizer_config.json", {"bos_token": "<s>", "chat_template": TEMPLATE})
    if parts is None:
        save_file(tensors(), path / "model.safetensors", {"format": "pt"})
        return path
    names = [f"model-{n + 1:05d}-of-{len(parts):05d}.safetensors" for n in range(len(parts))]
    for file, part in zip(names, parts, strict=True):
        save_file({name: tensors()[name] for name in part}, path / file)
    weight_map = {t: file for file, part in zip(names, parts, strict=True) for t in part}
    write_json(path / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    return path


PARTS = (("a.weight", "scale"), ("b.weight", "c.weight"))

# ---- GGUF -------------------------------------------------------------------------------------

DIM, INNER, HEADS, KV_HEADS, HEAD_DIM, BLOCKS = 64, 96, 4, 2, 16, 2
TOKENS = ("<|end|>", "<tool>", "h", "i", "Ġ", "1", "hi", "Ġhi", "[PAD8]")
TYPES = (3, 4, 1, 1, 1, 1, 1, 1, 5)
MERGES = ("h i", "Ġ hi")

Hook = Callable[[gguf.GGUFWriter], object]


def gguf_tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A llama under GGUF's names, rows in llama.cpp's order."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(TOKENS), DIM),
        "output_norm.weight": (DIM,),
    }
    for block in range(BLOCKS):
        prefix = f"blk.{block}."
        shapes |= {
            prefix + "attn_norm.weight": (DIM,),
            prefix + "ffn_norm.weight": (DIM,),
            prefix + "attn_q.weight": (HEADS * HEAD_DIM, DIM),
            prefix + "attn_k.weight": (KV_HEADS * HEAD_DIM, DIM),
            prefix + "attn_v.weight": (KV_HEADS * HEAD_DIM, DIM),
            prefix + "attn_output.weight": (DIM, HEADS * HEAD_DIM),
            prefix + "ffn_gate.weight": (INNER, DIM),
            prefix + "ffn_up.weight": (INNER, DIM),
            prefix + "ffn_down.weight": (DIM, INNER),
        }
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def write_gguf(
    path: Path,
    *,
    arch: str = "llama",
    hook: Hook = lambda writer: None,
    extra: Mapping[str, NDArray[Any]] | None = None,
    without: Sequence[str] = (),
    kinds: Mapping[str, gguf.GGMLQuantizationType] | None = None,
    pre: str = "smollm",
) -> Path:
    """A tiny GGUF file by the gguf package's own writer; `hook` adds metadata of its own.

    `kinds` says how tensors are stored that are not float32; these are quantised here.
    """
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("A run of July")
    writer.add_block_count(BLOCKS)
    writer.add_context_length(128)
    writer.add_embedding_length(DIM)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types(TYPES)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    hook(writer)
    for name, values in (gguf_tensors() | dict(extra or {})).items():
        kind = (kinds or {}).get(name)
        if name in without:
            continue
        if kind is None:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
