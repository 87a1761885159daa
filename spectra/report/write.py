"""From results to a report on disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spectra.atomic import make_directory, write_bytes
from spectra.errors import UsageError
from spectra.extras import require
from spectra.files import unreadable
from spectra.printable import Names, printable
from spectra.results import load_all

EXTRA = "report"
PACKAGES = ("altair", "jinja2", "vl_convert")
FORMATS = ("svg", "pdf", "png")


def write_report(
    outs: Sequence[str | Path],
    path: str | Path,
    *,
    title: str = "Spectral metrics",
    figures: str | Path | None = None,
) -> tuple[Path, ...]:
    """Write one HTML file on the results of runs, and on request its charts as pictures.

    Args:
        outs: directories that `spectra run` wrote, or parents of several.
        path: the HTML file.
        title: the page's heading.
        figures: a directory for each chart as SVG, PDF and PNG, fonts embedded.

    Returns:
        Every file written, the page first.

    Raises:
        MissingExtraError: a package of the extra "report" is not installed.
        UsageError: there are more models than a page can tell apart, the title is blank, or what
            is at `path` is a file of another kind, which is never replaced.
        InputError: what `spectra.load` raises.
        OutputError: a file cannot be written.
    """
    for package in PACKAGES:
        require(package, EXTRA)
    from spectra.report.charts import figures as all_figures
    from spectra.report.page import page
    from spectra.report.pictures import libraries, write_pictures
    from spectra.report.sources import shown_models

    if not title.strip():
        raise UsageError("--title is blank. Expected some text, or no --title for the usual one.")
    _check_replaceable(Path(path))
    if figures is not None:
        if Path(figures).exists() and not Path(figures).is_dir():
            raise UsageError(f"{figures} is a file. Expected a directory for the pictures.")
        make_directory(Path(figures))
    with ThreadPoolExecutor(1) as beside:
        bundle = beside.submit(libraries)
        results = load_all(outs)
        models, names = shown_models(results), Names()
        drawn, choices = all_figures(models, names)
        unfinished = [printable(str(place)) for place in results.unfinished]
        text = page(printable(title), models, drawn, choices, names, unfinished, bundle.result())
    write_bytes(Path(path), text.encode())
    pictures = [] if figures is None else write_pictures(drawn, Path(figures))
    return Path(path), *pictures


def _check_replaceable(path: Path) -> None:
    """Refuse to lose a file that is no page, such as a run.json or somebody's thesis."""
    if not path.is_file():  # nothing is there, or writing will say what is
        return
    try:
        with open(path, "rb") as stream:
            head = stream.read(64).lstrip()
    except OSError as error:
        raise unreadable(path, error) from None
    if head and not head.startswith(b"<"):
        raise UsageError(
            f"{path} is there and is not a page of HTML; it stays as it is. Choose another name."
        )
