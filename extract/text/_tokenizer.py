"""A tokenizer that knows which characters each of its tokens covers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from extract.text._chat import render_prompt
from extract.text._cover import Cover, Token, cover_encoded, cover_stored, mismatch
from extract.text._scheme import read_scheme
from extract.text.errors import (
    ChatTemplateError,
    TokenIdError,
    TokenTextMismatchError,
    UnreadableTokenizerError,
)
from extract.traces.errors import TraceTextError
from spectra.extras import require
from spectra.files import read_capped
from spectra.strict_json import JSONObject

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LARGEST_FILE = 256 << 20


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text's tokens and the characters that each covers.

    Attributes:
        ids: Token ids, [n] int32.
        starts: The first character that each token's bytes cover, [n] int64.
        ends: One past the last one, [n] int64. Neither ever decreases. A character split over
            several tokens is in the range of each; a token that spells nothing of the text, such
            as a trailing end-of-text, has an empty range.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class TextTokenizer:
    """A tokenizer of the `tokenizers` package, followed from bytes to characters.

    Attributes:
        chat_template: The model's Jinja template, or None.
        special_tokens: What templates may name: "bos_token", "eos_token" and so on.
        sha256: The hash of the tokenizer.json; for a tokenizer built in memory, of its
            serialisation.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Tokenizer,
        *,
        chat_template: str | None = None,
        special_tokens: Mapping[str, str] = MappingProxyType({}),
        where: str = "The tokenizer",
    ) -> None:
        """Wrap the tokenizer.json at `source`, or a tokenizer already built: that of `where`.

        Truncation and padding are turned off, of the built one too.

        Raises:
            UnreadableTokenizerError: The file is not a tokenizer of this package.
            UnsupportedTokenizerError: Its bytes cannot be followed; see `extract.text._scheme`.
            MissingExtraError: The package `tokenizers` is not installed.
            InputError: What `spectra.files` raises for the file itself.
        """
        self.chat_template = chat_template
        self.special_tokens = special_tokens
        self._where = where
        if isinstance(source, str | os.PathLike):
            self._where = os.fspath(source)
            data = read_capped(Path(source), _LARGEST_FILE)
            self._tokenizer = _load(data, self._where)
        else:
            self._tokenizer = source
            data = source.to_str().encode()
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._scheme = read_scheme(self._tokenizer, self._where)
        self._added = self._tokenizer.get_added_tokens_decoder()
        self._known: dict[int, Token] = {}

    def encode(self, text: str, *, where: str = "The text") -> EncodedText:
        """Tokens of `text`, no special tokens added; special tokens spelled in it are recognised.

        Args:
            text: Any text.
            where: Names the text in error messages.

        Raises:
            TraceTextError: The text holds half of a surrogate pair.
            TokenTextMismatchError: The tokens' bytes are not the text's (after normalisation),
                as when the vocabulary lacks a byte.
        """
        _check_encodable(text, where)
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        tokens = [self._token(token_id, where) for token_id in ids]
        cover = cover_encoded(text, tokens, self._scheme)
        if cover is None:
            difference = mismatch(text, tokens, self._scheme, errors="backslashreplace")
            raise TokenTextMismatchError(
                f"{where}: {self._where} does not spell the text exactly: {difference}. "
                "It has no tokens for some bytes, or changes text in a way that is not followed; "
                "remove those characters from the text."
            )
        return _encoded(ids, cover)

    def cover(self, ids: Sequence[int], text: str, *, where: str = "The tokens") -> EncodedText:
        """Stored tokens, laid against the text that was decoded from them.

        The text may leave out all special tokens, or some at its end; they cover nothing then.

        Args:
            ids: Token ids.
            text: What they spell.
            where: Names the tokens in error messages.

        Raises:
            TokenIdError: An id is not in the vocabulary.
            TokenTextMismatchError: The ids spell another text.
            TraceTextError: The text holds half of a surrogate pair.
        """
        _check_encodable(text, where)
        tokens = [self._token(token_id, where) for token_id in ids]
        cover = cover_stored(text, tokens, self._scheme)
        if cover is None:
            difference = mismatch(text, tokens, self._scheme, errors="replace")
            raise TokenTextMismatchError(
                f"{where} do not spell the text: {difference}. They belong to another "
                "text or another tokenizer; correct them, or leave them out to have the text "
                "tokenised."
            )
        return _encoded(ids, cover)

    def check_ids(self, ids: Sequence[int], *, where: str = "The tokens") -> NDArray[np.int32]:
        """Stored tokens as an array, [n]; raises `TokenIdError`."""
        for token_id in ids:
            self._token(token_id, where)
        return np.array(ids, dtype=np.int32)

    def decode_bytes(self, ids: Sequence[int], *, where: str = "The tokens") -> bytes:
        """The bytes that tokens spell, special tokens included; raises `TokenIdError`."""
        return b"".join(self._token(token_id, where).data for token_id in ids)

    def render_prompt(self, messages: Sequence[JSONObject], *, where: str = "The messages") -> str:
        """The prompt that the chat template makes of messages, ready for the model's turn.

        Raises `MissingChatTemplateError`, `FinishedMessagesError` or `ChatTemplateError`.
        """
        try:
            return render_prompt(self.chat_template, messages, self.special_tokens, where)
        except ChatTemplateError as error:
            raise ChatTemplateError(f"{error} The template is that of {self._where}.") from None

    def _token(self, token_id: int, where: str) -> Token:
        known = self._known.get(token_id)
        if known is None:
            known = self._known[token_id] = self._read_token(token_id, where)
        return known

    def _read_token(self, token_id: int, where: str) -> Token:
        added = self._added.get(token_id)
        if added is not None:
            verbatim = added.special or not added.normalized
            return Token(added.content.encode(), verbatim, added.special)
        token = self._tokenizer.id_to_token(token_id) if 0 <= token_id < 2**31 else None
        if token is None:
            raise TokenIdError(
                f"{where}: the id {token_id} is not in the vocabulary of {self._tokens_held()}. "
                "The ids come from another tokenizer; leave them out to have the text tokenised."
            )
        return Token(self._scheme.token_bytes(token), verbatim=False, special=False)

    def _tokens_held(self) -> str:
        return f"{self._where} ({self._tokenizer.get_vocab_size():,} tokens)"


def _load(data: bytes, where: str) -> Tokenizer:
    package = require("tokenizers", "extract")
    try:
        tokenizer: Tokenizer = package.Tokenizer.from_buffer(data)
    except ValueError as error:
        raise UnreadableTokenizerError(
            f"{where} is not a tokenizer that the tokenizers package reads: {str(error)[:300]!a}. "
            "Fetch the file again, or update the package."
        ) from None
    return tokenizer


def _check_encodable(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TraceTextError(
            f"{where}: the text has half of a surrogate pair ({text[error.start]!a}) at character "
            f"{error.start:,}, which UTF-8 cannot encode. Remove it at the producer."
        ) from None


def _encoded(ids: Sequence[int], cover: Cover) -> EncodedText:
    return EncodedText(np.array(ids, dtype=np.int32), cover.starts, cover.ends)
