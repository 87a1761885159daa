"""The command line: `spectra run` and its siblings, a module each.

A thin shell: it parses, calls the library and prints. Nothing here imports NumPy or JAX before a
command needs them, so that help is quick.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated

import typer

from spectra._version import __version__
from spectra.cli import (
    _baselines,
    _compare,
    _demo,
    _diff,
    _extract,
    _info,
    _merge,
    _plan,
    _report,
    _run,
    _table,
    _traces,
    _verify,
)
from spectra.cli._register import register
from spectra.cli._signals import Listener
from spectra.cli._text import escape_on_streams, open_streams

_BOXED_WIDTH = 80
"""Columns below which help in boxes cuts the names of flags short."""

app = typer.Typer(
    name="spectra",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:\n\n  spectra run\n\n"
    "Exit codes: 0 done, 1 internal error or a difference found, 2 usage, 3 bad input, "
    "4 finished under --strict with something undefined, 130 interrupted (143 by SIGTERM).",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy"))
        typer.echo(
            f"spectra {__version__}\n"
            f"Python {platform.python_version()}, {packages}, {platform.platform()}"
        )
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, and those that a report of a fault should name.",
        ),
    ] = False,
) -> None:
    """Spectral metrics of the hidden states of reasoning models.

    Effective rank and its kin, from shards to four metric files a pool.
    """
    escape_on_streams()


for _name, _command, _example in (
    ("demo", _demo.demo, _demo.EXAMPLE),
    ("extract", _extract.extract, _extract.EXAMPLE),
    ("run", _run.run, _run.EXAMPLE),
    ("merge", _merge.merge, _merge.EXAMPLE),
    ("plan", _plan.plan, _plan.EXAMPLE),
    ("compare", _compare.compare, _compare.EXAMPLE),
    ("baselines", _baselines.baselines, _baselines.EXAMPLE),
    ("report", _report.report, _report.EXAMPLE),
    ("table", _table.table, _table.EXAMPLE),
    ("info", _info.info, _info.EXAMPLE),
    ("verify", _verify.verify, _verify.EXAMPLE),
    ("diff", _diff.diff, _diff.EXAMPLE),
):
    register(app, _name, _command, _example)
app.add_typer(_traces.app, name="traces")


def main() -> None:
    """The console command: the app, ended at once where a signal stopped it.

    XLA's threads may still be compiling then, and tearing the interpreter down under them was seen
    to crash. By now nothing is left to clean up.
    """
    open_streams()
    if shutil.get_terminal_size().columns < _BOXED_WIDTH:
        app.rich_markup_mode = None
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    listener = Listener()
    listener.listen()
    try:
        app(prog_name="spectra", color=False if plain else None)
    except (SystemExit, KeyboardInterrupt) as end:
        done = isinstance(end, SystemExit) and not end.code
        if listener.stopped is None or done:
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(listener.stopped.exit_code)
    finally:
        listener.close()
