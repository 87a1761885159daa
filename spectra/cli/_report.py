"""`spectra report`: results as a page to explore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spectra.cli import _options as options
from spectra.cli._table import Outs
from spectra.cli._text import document, say, size_text

EXAMPLE = "spectra report spectral_metrics -o report.html --figures figures"


def report(
    outs: Outs,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page.")
    ] = Path("report.html"),
    title: Annotated[str, typer.Option(help="The page's heading.")] = "Spectral metrics",
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write each chart as SVG, PDF and PNG there too."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write one HTML page with charts and tables of results, side by side if of several models.

    The page works offline and fetches nothing. Needs the extra "report".
    """
    from spectra import strict_json
    from spectra.cli._progress import progress
    from spectra.report import write_report

    with progress(quiet) as tell:
        tell("drawing", 0, 0)
        written = write_report(outs, output, title=title, figures=figures)
    if json:
        document(strict_json.dumps({"files": [str(path) for path in written]}))
    elif not quiet:
        say(page_text(output))
        if figures is not None:
            say(f"{figures}/: {len(written) - 1} pictures")


def page_text(page: Path) -> str:
    """Where a page is."""
    return f"Report: {page} ({size_text(page.stat().st_size)}), open it in any browser"
