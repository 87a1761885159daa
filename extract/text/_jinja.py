"""The environment that chat templates are written for, sandboxed: they come from strangers.

What it offers is what the documentation of Hugging Face's templates promises: whitespace control
by block (`trim_blocks`, `lstrip_blocks`), `break` and `continue`, `raise_exception`, `tojson` that
escapes neither HTML nor other alphabets, `strftime_now`, and `{% generation %}` blocks, which mark
the assistant's text for training and render as what they hold.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

TODAY = datetime(2024, 7, 26)
"""What `strftime_now` tells, so that a prompt does not depend on the day it is rendered: the date
that Llama 3's templates fall back to where there is no clock."""


def environment() -> ImmutableSandboxedEnvironment:
    """A new environment."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationBlocks],
    )
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = TODAY.strftime
    return made


class _GenerationBlocks(Extension):
    """`{% generation %}…{% endgeneration %}`: the block's content, in a scope of its own."""

    tags = {"generation"}  # noqa: RUF012  as the base class has it

    def parse(self, parser: Parser) -> nodes.Node:
        next(parser.stream)
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
