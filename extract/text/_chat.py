"""Prompts from messages, by the model's own chat template.

Only what the model was given is rendered, with the generation prompt that opens its turn. A
finished trace never goes through a template: templates drop or strip reasoning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from extract.text.errors import (
    ChatTemplateError,
    FinishedMessagesError,
    MissingChatTemplateError,
)
from spectra.extras import require
from spectra.strict_json import JSONObject

if TYPE_CHECKING:
    from jinja2 import Template

_THINK = "<think>"
_OPENED_THINKING = re.compile(r"<think>\n?\Z")


def render_prompt(
    template: str | None,
    messages: Sequence[JSONObject],
    special_tokens: Mapping[str, str],
    where: str,
) -> str:
    """The prompt that `template` makes of `messages`; `where` names them in error messages.

    The template sees `messages`, the special tokens by name, `add_generation_prompt` = true and
    neither tools nor documents; its clock stands at `extract.text._jinja.TODAY`.

    Raises:
        MissingChatTemplateError: There is no template.
        FinishedMessagesError: The messages end with the assistant's turn.
        ChatTemplateError: The template is malformed, or refuses or fails on the messages.
    """
    if template is None:
        raise MissingChatTemplateError(
            f"{where}: the model has no chat template, so the messages cannot be rendered. Give "
            "the rendered prompt as `prompt`, or put the model's chat_template.jinja (or "
            "tokenizer_config.json) beside its tokenizer."
        )
    if messages and messages[-1].get("role") == "assistant":
        raise FinishedMessagesError(
            f"{where}: the messages end with the assistant's turn. Expected only what the model "
            "was given, ending before it wrote; the response is a field of its own."
        )
    try:
        compiled = _compile(template)
    except Exception as error:  # besides syntax errors, too deep a nesting and the like
        raise ChatTemplateError(
            f"{where}: the model's chat template cannot be compiled: {_told(error)}. Fetch it "
            "again, or give the rendered prompt as `prompt`."
        ) from None
    try:
        return compiled.render(
            {
                **special_tokens,
                "messages": [dict(message) for message in messages],
                "tools": None,
                "documents": None,
                "add_generation_prompt": True,
            }
        )
    except Exception as error:  # a template is a program: on odd messages it can fail in any way
        raise ChatTemplateError(
            f"{where}: the model's chat template fails on the messages: {_told(error)}. Check "
            "their roles and contents, or give the rendered prompt as `prompt`."
        ) from None


def drop_doubled_think(prompt: str, response: str) -> str:
    """The rendered prompt, without a final `<think>` that the response begins with too.

    Many templates open the model's thinking; a producer that put the tag back before the response
    has it twice then. The prompt's goes, with the newline after it, since the steps' characters
    count in the response.
    """
    return _OPENED_THINKING.sub("", prompt) if response.startswith(_THINK) else prompt


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    require("jinja2", "extract")
    from extract.text._jinja import environment

    return environment().from_string(template)


def _told(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    text = ascii(str(error) or type(error).__name__)[1:-1]
    return f"{text[:300]}{f' (line {line})' if line else ''}"
