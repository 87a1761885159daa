"""`spectra merge`: the parts of a run, added up and finished."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from spectra.cli import _options as options
from spectra.cli._progress import progress
from spectra.cli._run import Strict, finish

EXAMPLE = "spectra merge annotated_traces_reprs --out cut_metrics"


def merge(
    src: Annotated[str, typer.Argument(metavar="SRC", help="As the parts had it.")],
    out: Annotated[
        Path, typer.Option(help="As the parts had it: OUT/<model directory>/parts/ is read.")
    ] = Path("spectral_metrics"),
    max_memory: options.MaxMemory = None,
    strict: Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Finish a run from the files of all its parts (`spectra run --part`), with their options.

    Standard errors, repairs of unresolved spectra and conventions that normalise rows read states
    of SRC again; with --jackknife off and resolved spectra none are read.
    """
    from spectra import jobs

    with progress(quiet) as tell:
        runs = jobs.merge(
            src,
            out,
            max_memory=options.parsed(options.size, max_memory) or 0,
            command=("spectra", *sys.argv[1:]),
            progress=tell,
        )
    finish(runs, strict=strict, json=json, quiet=quiet)
