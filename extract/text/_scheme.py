"""How a tokenizer spells text: what each token's bytes are, and what it does to text beforehand.

Two schemes are followed. *Byte-level* vocabularies write each byte as one printable character (the
table that GPT-2 introduced), so their tokens spell any text exactly. Vocabularies in the manner of
SentencePiece write characters as themselves, a space as ▁ and bytes outside the vocabulary as
<0x00> to <0xFF>; they may put one ▁ before a stretch of text. Before either, text may be
normalised to NFC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from extract.text.errors import UnsupportedTokenizerError
from spectra.extras import require
from spectra.strict_json import JSON, JSONObject

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE_MARK = "▁"

_PARTS = ("normalizers", "pretokenizers")
_MARK_SPACES: JSONObject = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
_MARK_START: JSONObject = {"type": "Prepend", "prepend": SPACE_MARK}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one tokenizer spells text.

    Attributes:
        byte_level: Whether tokens are written in the byte table; otherwise spaces are ▁.
        prefix: What the tokenizer may put before a stretch of text; empty where it never does.
        normalize: The normaliser that text passes first, if any: to NFC.
    """

    byte_level: bool
    prefix: str
    normalize: Callable[[str], str] | None

    def token_bytes(self, token: str) -> bytes:
        """The bytes that an ordinary (not added) token spells."""
        if self.byte_level:
            try:
                return bytes(map(_BYTES.__getitem__, token))
            except KeyError:  # a token outside the table stands for itself, as when decoding
                return token.encode()
        byte = _BYTE_TOKEN.fullmatch(token)
        return bytes([int(byte[1], 16)]) if byte else token.encode()


def read_scheme(tokenizer: Tokenizer, where: str) -> Scheme:
    """The scheme of a tokenizer; raises `UnsupportedTokenizerError` where it is neither."""
    _check_model(tokenizer, where)
    normalizers = list(_components(tokenizer.normalizer))
    splitters = list(_components(tokenizer.pre_tokenizer))
    byte_level = _first(splitters, "ByteLevel")
    metaspace = _first(splitters, "Metaspace")
    marked = metaspace is not None or _MARK_SPACES in normalizers
    if (byte_level is not None) == marked:
        raise _unsupported(where, f"its pre-tokenizer is {_names(splitters)}")
    known = [_MARK_SPACES, _MARK_START] if marked else []
    for part in normalizers:
        if part["type"] != "NFC" and part not in known:
            raise _unsupported(where, f"its normalizer {part['type']} changes text")
    if metaspace is not None and metaspace.get("replacement") != SPACE_MARK:
        raise _unsupported(where, f"it writes a space as {metaspace.get('replacement')!a}")
    return Scheme(
        byte_level=not marked,
        prefix=_prefix(byte_level, metaspace, _MARK_START in normalizers),
        normalize=_nfc() if _first(normalizers, "NFC") else None,
    )


def _check_model(tokenizer: Tokenizer, where: str) -> None:
    model = tokenizer.model
    kind = type(model).__name__
    if kind != "BPE":
        raise _unsupported(where, f"its model is {kind}")
    for setting in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if getattr(model, setting):
            raise _unsupported(where, f"its model sets {setting}")


def _prefix(byte_level: JSONObject | None, metaspace: JSONObject | None, prepended: bool) -> str:
    if byte_level is not None:
        return " " if byte_level.get("add_prefix_space") else ""
    if metaspace is not None and metaspace.get("prepend_scheme") != "never":
        return SPACE_MARK
    return SPACE_MARK if prepended else ""


class _Component(Protocol):
    def __getstate__(self) -> bytes: ...


def _components(component: _Component | None) -> Iterator[dict[str, JSON]]:
    """The settings of a component, or of each part of a sequence of them."""
    if component is None:
        return
    waiting: list[dict[str, JSON]] = [json.loads(component.__getstate__())]
    while waiting:
        part = waiting.pop(0)
        inner = [
            child for key in _PARTS if isinstance(found := part.get(key), list) for child in found
        ]
        if part["type"] == "Sequence":
            waiting[:0] = [child for child in inner if isinstance(child, dict)]
        else:
            yield part


def _first(parts: list[dict[str, JSON]], kind: str) -> JSONObject | None:
    return next((part for part in parts if part["type"] == kind), None)


def _names(parts: list[dict[str, JSON]]) -> str:
    return ", ".join(str(part["type"]) for part in parts) or "absent"


def _nfc() -> Callable[[str], str]:
    # The tokenizer's own tables, whose Unicode version may be newer than Python's.
    normalize: Callable[[str], str] = (
        require("tokenizers", "extract").normalizers.NFC().normalize_str
    )
    return normalize


def _unsupported(where: str, why: str) -> UnsupportedTokenizerError:
    return UnsupportedTokenizerError(
        f"{where}: {why}, which cannot be followed from bytes to characters. Expected a BPE with "
        "the pre-tokenizer ByteLevel, or with spaces marked as ▁ (Metaspace), and no normalizer "
        "but NFC."
    )


def _byte_table() -> dict[str, int]:
    """The character that stands for each byte: itself if it is visible, else U+0100 and up."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted(set(range(256)) - set(visible))
    return {chr(byte): byte for byte in visible} | {
        chr(0x100 + place): byte for place, byte in enumerate(hidden)
    }


_BYTES = _byte_table()
