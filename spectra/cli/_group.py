"""Where every command's errors end: one paragraph on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from spectra.cli._text import complain
from spectra.errors import InputError, SpectraError

INTERRUPTED = 130
TRACEBACK = "SPECTRA_TRACEBACK"
"""With this environment variable set, errors that are not Spectra's own keep their traceback."""


class Commands(TyperGroup):
    """The group of all commands, with the one handler of what they raise."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exits with the code of what it raises."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader of our output went away: Typer ends quietly
            raise
        except SpectraError as error:
            complain(f"Error: {error}")
            raise typer.Exit(error.exit_code) from None
        except (OSError, MemoryError) as error:
            if TRACEBACK in os.environ:
                raise
            message, code = _system_error(error)
            complain(f"Error: {message}")
            raise typer.Exit(code) from None
        except Exception as error:
            # Exit and Abort are how Typer itself ends a command.
            if TRACEBACK in os.environ or isinstance(error, typer.Exit | typer.Abort):
                raise
            if isinstance(error, typer.TyperException):
                raise
            complain(
                f"Internal error: {type(error).__name__}: {error}. This is a fault of Spectra, not "
                f"of the input: run again with {TRACEBACK}=1 set and report what it prints."
            )
            raise typer.Exit(SpectraError.exit_code) from None


def _system_error(error: OSError | MemoryError) -> tuple[str, int]:
    if isinstance(error, MemoryError):
        return (
            "memory ran out. Run with --max-memory below what this machine has free; "
            "`spectra run --dry-run` shows what a limit leads to.",
            SpectraError.exit_code,
        )
    where = "" if error.filename is None else f"{error.filename}: "
    reason = error.strerror or str(error)
    return f"{where}{reason}. Check the path, its permissions and its disk.", InputError.exit_code
