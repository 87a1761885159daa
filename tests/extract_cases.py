"""A tiny model as a Hugging Face directory, traces for it, and its states without the pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from extract import ExtractConfig, Trace, TraceStep, inputs, write_traces
from extract.decoder.attention import chunked
from extract.decoder.families import RopeVariant, spec_of
from extract.decoder.forward import Forward, Tap
from extract.decoder.load import load_decoder
from extract.decoder.placement import Placement
from extract.weights import open_checkpoint
from spectra.artifacts import open_artifact
from spectra.backend import find_devices
from tests.decoder_cases import CASES, weights
from tests.decoder_models import tensor_shapes
from tests.text_cases import train_tiny

Floats = NDArray[np.float32]

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BLOCKS = 3
"""Of the model: two that slide and one that sees all."""

NOISE = 2e-5
"""Of float32, in states of the order of one, between batches of different shapes."""

QUICK = "jax_disable_most_optimizations"

_ALONE = 256
"""Tokens, padding included, that a trace is computed with by itself: one shape to compile."""


def write_model(
    path: Path, *, case: str = "olmo3-v5", seed: int = 0, vocabulary: int = 450, **fields: Any
) -> Path:
    """A model of `CASES` with random weights, the tiny tokenizer and a chat template."""
    path.mkdir(parents=True, exist_ok=True)
    config = {**CASES[case], "vocab_size": vocabulary, **fields}
    (path / "config.json").write_text(json.dumps(config))
    named = {f"model.{name}": value for name, value in _weights(config, seed).items()}
    save_file(named, path / "model.safetensors", {"format": "pt"})
    train_tiny(nfc=False).save(str(path / "tokenizer.json"))
    settings = {"chat_template": TEMPLATE, "eos_token": "<|end|>"}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def _weights(config: Mapping[str, Any], seed: int) -> dict[str, NDArray[np.float32]]:
    return weights(tensor_shapes(config), seed)


_SENTENCES = (
    ("Wait, let me check this step.", "uncertainty"),
    ("So 3 + 4 = 7, and the answer is 12.", "computation"),
    ("The café is naïve; über allés. 😀", "retrieval"),
    ("Hmm, but x = {a} and y = [b], so we are done.", "plan"),
    ("Then 12 is right.", "checking"),
)


def short_traces(count: int, seed: int = 0) -> list[Trace]:
    """Traces of some 20 to 200 tokens: every other one with messages, some text in no step."""
    rng = np.random.default_rng(seed)
    return [_short_trace(number, rng) for number in range(count)]


def _short_trace(number: int, rng: np.random.Generator) -> Trace:
    text, steps = "<think>\n", []
    for place in rng.integers(len(_SENTENCES), size=int(rng.integers(1, 8))).tolist():
        sentence, category = _SENTENCES[place]
        steps.append(TraceStep(len(text), len(text) + len(sentence), "thought", category))
        text += sentence + str(rng.choice([" ", "\n\n", " Unlabelled. "]))
    text += "</think>\n\n"
    steps.append(TraceStep(len(text), len(text) + 3, "solution", "final"))
    question = f"What is {number} + 4?"
    asked: dict[str, Any] = {"prompt": f"{question}\n"}
    if number % 2:
        asked = {"messages": ({"role": "user", "content": question},)}
    return Trace(f"t{number}", text + "12.", tuple(steps), problem_id=f"p{number // 3}", **asked)


def prompt_of(trace: Trace) -> str:
    """The prompt as the model reads it, the template followed by hand."""
    if trace.prompt is not None:
        return trace.prompt
    (message,) = trace.messages or ()
    return f"<|user|>{message['content']}<|end|>\n<|assistant|>"


def tokens_of(trace: Trace, model: Path) -> tuple[list[int], list[int]]:
    """Token ids of the prompt and of the response, by the tokenizers package alone."""
    made = Tokenizer.from_file(str(model / "tokenizer.json"))
    prompt, response = (
        made.encode(text, add_special_tokens=False).ids
        for text in (prompt_of(trace), trace.response)
    )
    return prompt, response


def config_of(directory: Path, traces: Sequence[Trace], **options: Any) -> ExtractConfig:
    """Options for these traces, a model in `directory`/model and an artifact in `directory`/out."""
    path = directory / "traces.jsonl"
    if not path.exists():
        write_traces(path, traces)
    usual = ExtractConfig(
        traces=path, model=str(directory / "model"), out=directory / "out", backend="cpu"
    )
    return replace(usual, **options)


# ---- states -----------------------------------------------------------------------------------


@contextmanager
def using(devices: int) -> Iterator[None]:
    """Extractions within use so many devices; on one, all of them share what is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "find_devices", lambda name: find_devices(name)[:devices])
        yield


def one_device() -> AbstractContextManager[None]:
    return using(devices=1)


@lru_cache(maxsize=8)
def forward_of(
    model: Path,
    taps: tuple[Tap, ...],
    variant: RopeVariant = "per_layer_type",
    dtype: str = "float32",
) -> Forward:
    """The model on one device, its states kept in float32."""
    checkpoint = open_checkpoint(str(model))
    spec = spec_of(checkpoint.config, "config.json", rope_variant=variant)
    placement = Placement(jax.devices("cpu")[:1])
    decoder = load_decoder(
        spec,
        checkpoint.tensors,
        blocks=max(tap.layer for tap in taps),
        norm=any(tap.final_norm for tap in taps),
        dtype=dtype,
        placement=placement,
    )
    return Forward(
        decoder, spec, taps=taps, attend=chunked, placement=placement, storage=jnp.float32
    )


def alone(model: Path, trace: Trace, *taps: Tap, **options: Any) -> dict[int, Floats]:
    """The trace's states [n, d] in float32 by layer, in a batch by itself."""
    prompt, response = tokens_of(trace, model)
    tokens = np.array(prompt + response, np.int32)
    padded = np.zeros((1, max(_ALONE, len(tokens))), np.int32)
    padded[0, : len(tokens)] = tokens
    states = forward_of(model, taps, **options)(padded)
    return {layer: np.asarray(x[0, : len(tokens)]) for layer, x in states.items()}


def stored(directory: Path, layer: int | None = None) -> list[NDArray[Any]]:
    """Each sample's rows, [n, d] bfloat16, in the index's order; of the primary layer if None."""
    artifact = open_artifact(directory)
    with artifact.open_rows(artifact.layer(layer)) as rows:
        return [
            rows.read(sample.global_offset, sample.global_offset + sample.num_tokens).copy()
            for sample in artifact.index.samples
        ]


def assert_rounded(found: NDArray[Any], exact: Floats) -> None:
    """`found` [n, d] bfloat16 is `exact` rounded once: off by half a unit of 8 bits at most."""
    assert found.dtype == ml_dtypes.bfloat16
    assert found.shape == exact.shape
    error = np.abs(found.astype(np.float32) - exact)
    np.testing.assert_array_less(error, 2.0**-8 * np.abs(exact) + NOISE)
    assert np.mean(found == exact.astype(ml_dtypes.bfloat16)) > 0.99


def assert_same(found: NDArray[Any], other: NDArray[Any]) -> None:
    """Equal, save where float32's noise lies across a border of bfloat16's rounding."""
    assert found.shape == other.shape
    a, b = found.astype(np.float32), other.astype(np.float32)
    np.testing.assert_array_less(np.abs(a - b), 2.0**-7 * np.maximum(abs(a), abs(b)) + NOISE)
    assert np.mean(found == other) > 0.99
