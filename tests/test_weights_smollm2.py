"""A real GGUF file, SmolLM2-135M-Instruct in 4 bits: memory, names, tokens, sane weights."""

from __future__ import annotations

import json
import lzma
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from extract.weights import Checkpoint, open_checkpoint
from tests.shared_data import shared, smollm2

FLOAT32_BYTES = 538_060_032
"""Of the whole model; the largest tensor has 113 MB of them."""


@pytest.fixture(scope="module")
def path() -> Path:
    return smollm2()


@pytest.fixture(scope="module")
def checkpoint(path: Path) -> Checkpoint:
    return open_checkpoint(str(path))


def test_what_it_is(checkpoint: Checkpoint) -> None:
    assert checkpoint.name == "SmolLM2-135M-Instruct"
    expected = {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "max_position_embeddings": 8192,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }
    assert {key: checkpoint.config[key] for key in expected} == expected
    assert len(checkpoint.tensors.tensors) == 272
    sizes = [np.prod(info.shape) for info in checkpoint.tensors.tensors.values()]
    assert 4 * int(sum(sizes)) == FLOAT32_BYTES
    table = checkpoint.tensors.read("model.embed_tokens.weight")
    assert table.shape == (49152, 576)
    assert table.dtype == np.float32
    assert np.isfinite(table).all()
    assert 0.05 < table.std() < 0.5


def test_memory_of_reading_every_tensor(path: Path) -> None:
    tracemalloc.start()
    try:
        source = open_checkpoint(str(path)).tensors
        for name in source.tensors:
            source.read(name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The metadata, the largest tensor in float32, its stored bytes and the blocks in between.
    assert peak < 200e6 < FLOAT32_BYTES


def test_tokens_are_those_of_its_tokenizer_json(checkpoint: Checkpoint) -> None:
    expected = Tokenizer.from_file(str(shared("tokenizers/smollm2/tokenizer.json")))
    with lzma.open(shared("traces/thought_anchors_753.jsonl.xz"), "rt", encoding="utf-8") as lines:
        texts = [json.loads(next(lines))["response"] for _ in range(20)]
    tokenizer = checkpoint.tokenizer()
    for text in (*texts, "<|im_start|>user\n1234 déjà 🦙<|im_end|>\n", "  \n\n\t x"):
        ids = expected.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text).ids.tolist() == ids


def test_its_chat_template(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer()
    assert tokenizer.special_tokens["eos_token"] == "<|im_end|>"
    prompt = tokenizer.render_prompt([{"role": "user", "content": "Hello"}])
    assert prompt.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
