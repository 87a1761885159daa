"""The ways in which text cannot become tokens, or tokens cannot be laid against text."""

from __future__ import annotations

from spectra.errors import InputError


class UnreadableTokenizerError(InputError):
    """A tokenizer file is not what the tokenizers package reads."""


class UnsupportedTokenizerError(InputError):
    """A tokenizer spells text in a way whose bytes cannot be followed."""


class TokenIdError(InputError):
    """A stored token id is not in the tokenizer's vocabulary."""


class TokenTextMismatchError(InputError):
    """Tokens do not spell the text that they stand for."""


class MissingChatTemplateError(InputError):
    """A trace has messages and the model has no chat template."""


class ChatTemplateError(InputError):
    """A chat template is malformed, or refuses or fails on the messages."""


class FinishedMessagesError(InputError):
    """Messages end with the assistant's turn, so they are no prompt."""
