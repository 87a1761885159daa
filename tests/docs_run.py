"""Running the blocks of a documentation page."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.cli_runs import call

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line that it begins on."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """All of them, in order."""
    return [
        Block(found[1], found[2], page.count("\n", 0, found.start()) + 2)
        for found in FENCE.finditer(page)
    ]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each `$ ` line of a console block, without a comment, and the output shown below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command.partition("  #")[0].strip(), output


def run(page: str, name: str) -> Iterator[tuple[Block | str, str, str]]:
    """Each block of Python, or command with an output, what it printed, and what the page shows.

    Blocks of Python share a namespace. Commands without an output are of data that is not here.
    """
    namespace: dict[str, Any] = {"__name__": name}
    found = blocks(page)
    for number, block in enumerate(found):
        if block.language == "python":
            after = found[number + 1] if number + 1 < len(found) else None
            shown = after.text if after is not None and after.language == "text" else ""
            code = compile("\n" * (block.line - 1) + block.text, name, "exec")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, namespace)
            yield block, printed.getvalue(), shown
        elif block.language == "console":
            for command, shown in commands(block):
                if shown.strip():
                    result = call(*shlex.split(command)[1:])
                    assert result.exit_code == 0, result.output
                    output = re.sub(r" +$", "", result.stdout, flags=re.MULTILINE)
                    yield command, output, shown  # no blanks that tables end lines with
