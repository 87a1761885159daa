"""`spectra table`: results as Parquet, CSV, Markdown or LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spectra.cli import _options as options
from spectra.cli._text import say
from spectra.errors import UsageError

EXAMPLE = "spectra table spectral_metrics -o table.tex --where group_kind=segment --pool all"

Outs = Annotated[
    list[Path],
    typer.Argument(
        metavar="OUT...",
        help="Directories that `spectra run` wrote, or parents of several.",
        show_default=False,
    ),
]


def table(
    outs: Outs,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .parquet or .csv with a value a line, or a .md or .tex with a group a line.",
            show_default="Markdown on stdout",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Keep rows with this value; once more for the same column allows another. "
            "Columns are those of metrics.csv.",
            show_default=False,
        ),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(metavar="POOL", help="Short for --where pool=POOL.")
    ] = None,
    matched: Annotated[
        bool,
        typer.Option(
            "--matched", help="Groups at the count that their kind shares, not as they come."
        ),
    ] = False,
    metrics: Annotated[
        str, typer.Option(metavar="LIST", help="Columns of a .md or .tex, in this order.")
    ] = "rankme,rankme_sigma,alpha_req",
    quiet: options.Quiet = False,
) -> None:
    """Write results as one table, filtered.

    Markdown and LaTeX show the groups of basic_metrics.json as they come, where no file, count or
    kind of group is asked for. Needs the extra "tables".
    """
    from spectra.results import load_all
    from spectra.tables import as_markdown, at_matched_counts, select, selection, wide, write_table

    names = tuple(dict.fromkeys(options.words(metrics)))
    wanted = selection([*(where or ()), *([] if pool is None else [f"pool={pool}"])])
    paper = output is None or output.suffix in (".md", ".tex")
    if (paper or matched) and not {"file", "count", "group_kind", "bin"} & wanted.keys():
        wanted = {"file": ["basic_metrics.json"], **wanted}
    if paper and not matched and not {"file", "count"} & wanted.keys():
        wanted = {"count": [""], "route": [""], **wanted}
    every = load_all(outs).frame()
    frame = select(at_matched_counts(every) if matched else every, wanted)
    known = sorted(set(frame["metric"].to_list()))
    unknown = [name for name in names if name not in known]
    if paper and unknown:
        raise UsageError(
            f"--metrics: no {unknown[0]!a} is there. Expected some of {', '.join(known)}."
        )
    if output is None:
        typer.echo(as_markdown(wide(frame, names)), nl=False)
        return
    write_table(frame, output, names)
    if not quiet:
        say(f"{output}: {len(frame):,} values")
