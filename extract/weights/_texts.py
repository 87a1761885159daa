"""The small files beside the weights: tokenizer, special tokens, chat template."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from extract.weights.errors import ChatTemplateFileError, MissingTokenizerError
from spectra.errors import FieldTypeError
from spectra.files import read_capped
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON, JSONObject, load

if TYPE_CHECKING:
    from extract.text import TextTokenizer

TOKENIZER_NAME = "tokenizer.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
SPECIAL_TOKENS_NAME = "special_tokens_map.json"
TEMPLATE_NAME = "chat_template.jinja"

_LARGEST_TOKENIZER = 256 << 20
_LARGEST_TEXT = 64 << 20
_TOKEN_SUFFIX = "_token"


@dataclass(frozen=True, slots=True)
class Texts:
    """What the small files say.

    `special_tokens` maps names such as "bos_token" to the tokens' text; `tokenizer_sha256` is None
    where there is no tokenizer.json.
    """

    directory: Path
    special_tokens: Mapping[str, str]
    chat_template: str | None
    tokenizer_sha256: str | None

    def tokenizer(self) -> TextTokenizer:
        """Raises `MissingTokenizerError` where there is no tokenizer.json."""
        from extract.text import TextTokenizer

        path = self.directory / TOKENIZER_NAME
        if self.tokenizer_sha256 is None:
            raise MissingTokenizerError(
                f"{self.directory} has no {TOKENIZER_NAME}; expected the tokenizer in that one "
                "file. Save it there with transformers: AutoTokenizer.from_pretrained(…)"
                ".save_pretrained(…)."
            )
        return TextTokenizer(
            path, chat_template=self.chat_template, special_tokens=self.special_tokens
        )


def read_texts(directory: Path) -> Texts:
    """Read the small files; each may be absent.

    A special token is text or an object with `content`. The chat template is the file
    chat_template.jinja or else `chat_template` of tokenizer_config.json: text, or a list of
    named templates of which the one named "default" counts.

    Raises what `spectra.files` and `spectra.strict_json` raise, `MissingFieldError`,
    `FieldTypeError` and `ChatTemplateFileError`.
    """
    settings = _object(directory / TOKENIZER_CONFIG_NAME)
    # tokenizer_config.json has the last word, as in transformers.
    tokens = _special_tokens(_object(directory / SPECIAL_TOKENS_NAME)) | _special_tokens(settings)
    return Texts(
        directory, tokens, _template(directory, settings), _sha256(directory / TOKENIZER_NAME)
    )


def _object(path: Path) -> Fields:
    value: JSON = load(path, max_bytes=_LARGEST_TEXT) if os.path.lexists(path) else {}
    return Fields.of(value, str(path))


def _special_tokens(record: Fields) -> dict[str, str]:
    found = {}
    for key, value in record.fields.items():
        if key.endswith(_TOKEN_SUFFIX) and isinstance(value, dict):
            found[key] = Fields.of(value, f"{record.where}: {key[:40]}").text("content")
        elif key.endswith(_TOKEN_SUFFIX) and isinstance(value, str):
            found[key] = value
    return found


def _template(directory: Path, settings: Fields) -> str | None:
    path = directory / TEMPLATE_NAME
    if os.path.lexists(path):
        return _decode(read_capped(path, _LARGEST_TEXT), path)
    value = settings.fields.get("chat_template")
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise FieldTypeError(
            f"{settings.where}: chat_template is {show(value)}; expected text or an array of named "
            "templates."
        )
    named = settings.records("chat_template")
    return {entry.text("name"): entry.text("template") for entry in named}.get("default")


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ChatTemplateFileError(
            f"{path}: byte {error.start} is not UTF-8. Fetch the file again."
        ) from None


def _sha256(path: Path) -> str | None:
    if not os.path.lexists(path):
        return None
    return hashlib.sha256(read_capped(path, _LARGEST_TOKENIZER)).hexdigest()


def hashes(texts: Texts) -> JSONObject:
    """Provenance: what the small files hash to."""
    return {
        "tokenizer_sha256": texts.tokenizer_sha256,
        "chat_template_sha256": text_sha256(texts.chat_template),
    }


def text_sha256(text: str | None) -> str | None:
    """The hash of a text's UTF-8 bytes, in hexadecimal; None for no text."""
    if text is None:
        return None
    # JSON may hold half a surrogate pair, and a template with one still has a hash.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
