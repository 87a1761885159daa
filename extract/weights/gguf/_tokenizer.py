"""The tokenizer of a GGUF file: byte-level BPE, rebuilt from the metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extract.weights.errors import GgufTokenizerError
from extract.weights.gguf._header import GgufHeader
from extract.weights.gguf._pretokenizers import PRE_TOKENIZERS, pre_tokenizer
from spectra.errors import FieldTypeError, FieldValueError
from spectra.extras import require
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON, dumps

if TYPE_CHECKING:
    from extract.text import TextTokenizer

_MODEL = "tokenizer.ggml.model"
_PRE = "tokenizer.ggml.pre"
_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_MERGES = "tokenizer.ggml.merges"
_TEMPLATE = "tokenizer.chat_template"
_BYTE_LEVEL = "gpt2"
"""GGUF's name of byte-level BPE, whatever the model."""

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5
"""Token types: special; added but plain; a row of the embeddings that no text maps to."""

_NAMES = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "pad_token": "padding",
}


@dataclass(frozen=True, slots=True)
class GgufTexts:
    """What the metadata say of text.

    `sha256` is the hash of the tokenizer's parts as JSON; None where there is no tokenizer.
    """

    header: GgufHeader
    special_tokens: Mapping[str, str]
    chat_template: str | None
    sha256: str | None

    def tokenizer(self) -> TextTokenizer:
        """Raises `GgufTokenizerError` for any but byte-level BPE cut in a known way."""
        from extract.text import TextTokenizer

        return TextTokenizer(
            build_tokenizer(self.header),
            chat_template=self.chat_template,
            special_tokens=self.special_tokens,
            where=str(self.header.path),
        )


def read_gguf_texts(header: GgufHeader) -> GgufTexts:
    """Raises `FieldTypeError` or `FieldValueError`."""
    metadata = _metadata(header)
    parts = {key: metadata.fields.get(key) for key in (_MODEL, _PRE, _TOKENS, _TYPES, _MERGES)}
    template = metadata.fields.get(_TEMPLATE)
    if template is not None and not isinstance(template, str):
        raise FieldTypeError(
            f"{metadata.where}: {_TEMPLATE} is {show(template)}; expected a string."
        )
    sha256 = (
        hashlib.sha256(dumps(parts).encode()).hexdigest() if _MODEL in metadata.fields else None
    )
    return GgufTexts(header, _special_tokens(metadata), template, sha256)


def build_tokenizer(header: GgufHeader) -> Any:
    """The `tokenizers.Tokenizer` that the metadata describe.

    Raises `GgufTokenizerError`, `MissingFieldError` or `FieldTypeError`.
    """
    metadata = _metadata(header)
    kind = metadata.text(_MODEL)
    if kind != _BYTE_LEVEL:
        raise _unsupported(header, f"{_MODEL} is {show(kind)}", f"{_BYTE_LEVEL!a}, byte-level BPE")
    name = metadata.text(_PRE)
    if name not in PRE_TOKENIZERS:
        raise _unsupported(header, f"{_PRE} is {show(name)}", f"one of {', '.join(PRE_TOKENIZERS)}")
    tokens = _strings(metadata, _TOKENS)
    types = metadata.array(_TYPES)
    if len(types) != len(tokens):
        raise _unsupported(header, f"{_TYPES} has {len(types):,} entries", f"{len(tokens):,}")
    vocabulary = {
        t: i for i, (t, kind) in enumerate(zip(tokens, types, strict=True)) if kind != _UNUSED
    }
    if len(vocabulary) != len(tokens) - types.count(_UNUSED):
        raise _unsupported(header, f"{_TOKENS} has tokens twice", "each once")
    built = _assemble(header, vocabulary, _merges(header, metadata), name)
    added = require("tokenizers", "extract").AddedToken
    for token, number in vocabulary.items():
        if types[number] in {_CONTROL, _USER_DEFINED}:
            special = types[number] == _CONTROL
            # One by one and in order: each takes the number that the vocabulary gives it.
            built.add_tokens([added(token, special=special, normalized=False)])
    return built


def _assemble(
    header: GgufHeader, vocabulary: dict[str, int], merges: list[tuple[str, str]], pre: str
) -> Any:
    tokenizers = require("tokenizers", "extract")
    rule = PRE_TOKENIZERS[pre]
    try:
        model = tokenizers.models.BPE(
            vocab=vocabulary, merges=merges, ignore_merges=rule.ignore_merges
        )
    # The library raises plain Exceptions, for a merge of tokens that are not in the vocabulary.
    except Exception as error:
        raise _unsupported(
            header, f"its merges do not fit its tokens ({error})", "both of one model"
        ) from None
    built = tokenizers.Tokenizer(model)
    if rule.nfc:
        built.normalizer = tokenizers.normalizers.NFC()
    built.pre_tokenizer = pre_tokenizer(rule)
    built.decoder = tokenizers.decoders.ByteLevel()
    return built


def _merges(header: GgufHeader, metadata: Fields) -> list[tuple[str, str]]:
    merges = []
    for text in _strings(metadata, _MERGES):
        left, space, right = text.partition(" ")
        if not space or " " in right:
            raise _unsupported(
                header, f"{_MERGES} has {show(text)}", "two tokens and a space between"
            )
        merges.append((left, right))
    return merges


def _special_tokens(metadata: Fields) -> dict[str, str]:
    tokens: list[JSON] = metadata.array(_TOKENS) if _TOKENS in metadata.fields else []
    found = {}
    for name, key in _NAMES.items():
        number = metadata.integer_or_none(f"tokenizer.ggml.{key}_token_id")
        if number is None:
            continue
        if number >= len(tokens):
            raise FieldValueError(
                f"{metadata.where}: tokenizer.ggml.{key}_token_id is {number}; expected one of the "
                f"{len(tokens):,} tokens."
            )
        found[name] = str(tokens[number])
    return found


def _strings(metadata: Fields, key: str) -> list[str]:
    values = metadata.array(key)
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values):
        raise FieldTypeError(f"{metadata.where}: {key} is no array of strings; expected text only.")
    return texts


def _metadata(header: GgufHeader) -> Fields:
    return Fields(header.metadata, f"{header.path}: metadata")


def _unsupported(header: GgufHeader, what: str, expected: str) -> GgufTokenizerError:
    return GgufTokenizerError(
        f"{header.path}: the tokenizer cannot be rebuilt exactly: {what}; expected {expected}. "
        "Take the model's safetensors checkpoint, which has its tokenizer.json."
    )
