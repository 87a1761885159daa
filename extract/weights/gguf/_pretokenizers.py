"""How `tokenizer.ggml.pre` says that text is cut before byte pairs are merged.

The names are llama.cpp's, which finds a model's by hashing what its tokenizer makes of one text;
"smollm", "qwen2" and "dbrx" are the names of the tokenizers of SmolLM 2, Qwen 2 to 3 and
OLMo 2 to 3, found by the same hash. Each entry is written as those models' tokenizer.json has it,
where llama.cpp approximates (Qwen's normalisation to NFC is not in GGUF at all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spectra.extras import require

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """`pattern` is None where the byte-level step cuts by its own (GPT-2's) pattern.

    `ignore_merges` takes a whole piece that is in the vocabulary as it is.
    """

    pattern: str | None = None
    single_digits: bool = False
    nfc: bool = False
    ignore_merges: bool = False


PRE_TOKENIZERS: Mapping[str, PreTokenizer] = {
    "gpt-2": PreTokenizer(),
    "smollm": PreTokenizer(single_digits=True),
    "qwen2": PreTokenizer(rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}", nfc=True),
    "dbrx": PreTokenizer(rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"),
    "llama-bpe": PreTokenizer(
        rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}", ignore_merges=True
    ),
}
"""By `tokenizer.ggml.pre`."""


def pre_tokenizer(rule: PreTokenizer) -> Any:
    """The `tokenizers.pre_tokenizers` object for `rule`."""
    tokenizers = require("tokenizers", "extract")
    kinds = tokenizers.pre_tokenizers
    bytes_ = kinds.ByteLevel(add_prefix_space=False, use_regex=rule.pattern is None)
    if rule.single_digits:
        return kinds.Sequence([kinds.Digits(individual_digits=True), bytes_])
    if rule.pattern is None:
        return bytes_
    split = kinds.Split(tokenizers.Regex(rule.pattern), behavior="isolated")
    return kinds.Sequence([split, bytes_])
