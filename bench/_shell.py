"""What the benchmarks' command lines have in common: reading options, keeping what was printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench._card import Card
from spectra import strict_json
from spectra.atomic import write_bytes
from spectra.backend import Backend, select_backend
from spectra.errors import SpectraError

WIDTH = 170

BackendName = Annotated[str, typer.Option(metavar="auto|cpu|gpu|tpu")]
Save = Annotated[
    Path | None, typer.Option(help="Keep the JSON here and the tables beside it as .txt.")
]


def recorder() -> Console:
    """A console that remembers what it printed, for `finish`."""
    return Console(width=WIDTH, record=True, highlight=False, markup=False)


def finish(out: Console, result: Card, save: Path | None) -> None:
    """Keep the JSON and what `out` printed, where asked for; print the JSON in one line."""
    if save is not None:
        write_bytes(save.with_suffix(".txt"), _stripped(out.export_text()).encode())
        write_bytes(save, strict_json.dumps(result).encode())
    typer.echo(strict_json.dumps(result, indent=None), nl=False)


def integers(flag: str, text: str | None) -> tuple[int, ...]:
    """The whole numbers above 1 of an option such as 256,1024; none where it was not given."""
    try:
        values = tuple(int(item) for item in text.split(",")) if text else ()
    except ValueError:
        values = (0,)
    if any(value < 2 for value in values):
        raise typer.BadParameter(f"{flag} {text}: expected whole numbers above 1, such as 256,1024")
    return values


def check_save(save: Path | None) -> None:
    """A usage error where `--save` names a directory that is not there."""
    if save is not None and not save.parent.is_dir():
        raise typer.BadParameter(f"--save {save}: there is no directory {save.parent}")


def chosen_backend(name: str) -> Backend:
    """The backend of this name, or the end of the program.

    JAX would take three quarters of a GPU's memory at once, which jobs beside it need.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        return select_backend(name)
    except SpectraError as error:
        raise ended_by(error) from None


def ended_by(error: SpectraError) -> typer.Exit:
    """The exit for an error that was told on stderr."""
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(error.exit_code)


def _stripped(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
