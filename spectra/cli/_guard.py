"""Where every command's errors end: one paragraph on stderr and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from spectra.cli._signals import Stopped
from spectra.cli._text import complain
from spectra.errors import InputError, OutputError, SpectraError, UsageError

INTERRUPTED = 130
TRACEBACK = "SPECTRA_TRACEBACK"
"""With this environment variable set, what Spectra did not raise itself keeps its traceback."""

_OUT_OF_DEVICE_MEMORY = "RESOURCE_EXHAUSTED"
"""How XLA's error begins, whatever its class: JAX is not imported here."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

_Parameters = ParamSpec("_Parameters")


def guarded(command: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
    """The command, ending with the exit code of what it raises."""

    @wraps(command)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as stop:
            code = stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED
            complain("Interrupted." if code == INTERRUPTED else f"Stopped by {stop}.")
            raise typer.Exit(code) from None
        except SpectraError as error:
            complain(f"Error: {error}")
            raise typer.Exit(error.exit_code) from None
        except (typer.Exit, BrokenPipeError):
            # Typer's own way to end, and the reader of stdout gone: Typer ends quietly on both.
            raise
        except Exception as error:
            if TRACEBACK in os.environ:
                raise
            message, code = _unforeseen(error)
            complain(message)
            raise typer.Exit(code) from None

    return run


def _unforeseen(error: Exception) -> tuple[str, int]:
    """The paragraph and the exit code for what Spectra did not raise itself."""
    if isinstance(error, MemoryError) or _OUT_OF_DEVICE_MEMORY in str(error):
        return (
            "Error: memory ran out. Give a lower --max-memory to `spectra run`, a lower "
            "--max-tokens-per-batch to `spectra extract`; --dry-run shows what either leads to.",
            SpectraError.exit_code,
        )
    if isinstance(error, OSError) and error.filename is None and error.errno in _NO_ROOM:
        # What writes files says which: this was printed.
        return (
            f"Error: the standard output cannot be written: {error.strerror}. Send it to a place "
            "with room; files under --out, if any, are whole.",
            OutputError.exit_code,
        )
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return (
            "Error: the working directory is gone. Change to one that is there.",
            UsageError.exit_code,
        )
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"Error: {error.filename}: {error.strerror or error}. "
            "Check the path, its permissions and its disk.",
            InputError.exit_code,
        )
    return (
        f"Internal error: {type(error).__name__}: {error}. This is a fault of Spectra and not of "
        f"the input: run again with {TRACEBACK}=1 set and report what it prints.",
        SpectraError.exit_code,
    )
