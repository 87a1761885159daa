"""Tables as files: Parquet and CSV have every number, Markdown and LaTeX what a paper shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spectra import markdown
from spectra.atomic import write_bytes
from spectra.errors import UsageError
from spectra.outputs import RUN_FILE, csv_table, is_output_name
from spectra.tables.latex import latex
from spectra.tables.wide import Wide, wide

FORMATS = ("parquet", "csv", "md", "tex")


def write_table(frame: Any, path: Path, metrics: Sequence[str]) -> None:
    """Write a tidy polars frame in the format of the path's suffix; Markdown and LaTeX are wide.

    Raises `UsageError` for another suffix, or for the place of a table of a run, and `OutputError`.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix == "parquet":
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        content = buffer.getvalue()
    elif suffix == "csv":
        content = csv_table(frame.columns, frame.iter_rows())
    elif suffix == "md":
        content = as_markdown(wide(frame, metrics)).encode()
    elif suffix == "tex":
        content = latex(wide(frame, metrics)).encode()
    else:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(f"{path}: expected a name that ends in one of {known}.")
    _check_replaceable(path)
    write_bytes(path, content)


def _check_replaceable(path: Path) -> None:
    if path.exists() and is_output_name(path.name) and (path.parent / RUN_FILE).exists():
        raise UsageError(
            f"{path} is a file of a run, whose {RUN_FILE} has its hash; it stays as it is. Choose "
            "another name."
        )


def as_markdown(table: Wide) -> str:
    """The table in Markdown, labels whole and escaped."""
    lines = (
        [
            text if numeric else markdown.escaped(text, None)
            for text, numeric in zip(line, table.numeric, strict=True)
        ]
        for line in table.cells(" ± ")
    )
    return markdown.grid([markdown.escaped(name) for name in table.headings], lines)
