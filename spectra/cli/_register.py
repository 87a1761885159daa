"""How a command joins an app: errors caught, help that flows, an example."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer

from spectra.cli._guard import guarded


def register(app: typer.Typer, name: str, command: Callable[..., None], example: str) -> None:
    """Add the command under its name, with its docstring and its example as help."""
    add = app.command(name, help=_flowing(command), epilog=f"Example:\n\n  {example}")
    add(guarded(command))


def _flowing(command: Callable[..., None]) -> str:
    """The docstring, a line a paragraph: Typer keeps the line ends within all but the first."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
