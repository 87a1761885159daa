"""Markdown and YAML from text that may be hostile: labels, names and records of other people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from spectra.printable import printable, shortened

WIDTH = 400
"""Characters of a value: whole paths, and labels that differ late; not a book."""

_TITLE_WIDTH = 80
_ACTIVE = re.compile(r"[!#$&*.:<>@\[\\\]^_`{|}~]")


def escaped(value: object, width: int | None = WIDTH) -> str:
    """A value as Markdown that shows it and does nothing else: no markup, tag, link or cell's end.

    Control characters are shown as escapes; beyond `width` characters, if any, it is cut.
    """
    text = printable(str(value)) if width is None else shortened(str(value), width)
    return _ACTIVE.sub(r"\\\g<0>", text)


def quoted(text: str) -> str:
    """A title as a scalar of YAML, whose double quotes have JSON's escapes."""
    return json.dumps(shortened(text, _TITLE_WIDTH), ensure_ascii=False)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table under a head that is Markdown already; the cells are escaped."""
    return grid(head, ([_cell(value) for value in row] for row in rows))


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of what is Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else escaped(value)
