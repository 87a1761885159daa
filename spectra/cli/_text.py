"""Text for a terminal: labels made harmless, quantities made readable, where each kind goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

import typer

from spectra.printable import printable

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def lines(text: str) -> str:
    """As `printable`, with the line ends kept."""
    return "\n".join(printable(line) for line in text.split("\n"))


def say(text: str) -> None:
    """Print a part of the result on stdout."""
    typer.echo(lines(text))


def complain(text: str) -> None:
    """Print a message about the result on stderr, if anybody is there to read it."""
    with suppress(OSError):  # the terminal may be gone, or the disk full: the exit code still tells
        typer.echo(lines(text), err=True)


def document(text: str) -> None:
    """Print the one JSON document of `--json` on stdout, as it is."""
    typer.echo(text, nl=False)


def open_streams() -> None:
    """Open what a caller has closed of the three standard streams.

    A file would get its number, and what libraries print would go into the file.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    # Python has None for one that it found closed.
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def escape_on_streams() -> None:
    """Let stdout and stderr show as escapes what their encoding lacks, rather than fail on a σ."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def size_text(size: int) -> str:
    """Bytes in the largest unit (of powers of 1000) that leaves a number of 1 or more."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"


def memory_text(planned: Mapping[str, int]) -> str:
    """What a run needs, as planned: {"host": bytes, "device": bytes}."""
    host = size_text(planned["host"])
    if planned["device"] == 0:
        return f"{host} of rows and moments"
    return f"{host} of rows, {size_text(planned['device'])} of moments on the device"


def duration_text(seconds: float) -> str:
    """Seconds as people say them, to the two leading digits that an estimate can bear."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.2g} h"
