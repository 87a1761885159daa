"""`spectra baselines`: the observed metrics beside what chance would give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spectra.cli import _options as options
from spectra.cli._config import ConfigFile
from spectra.cli._progress import progress
from spectra.cli._results import deliver, only_writer

if TYPE_CHECKING:
    from rich.table import Table

    from spectra.chance import Baselines

EXAMPLE = "spectra baselines annotated_traces_reprs/qwen3-4b-thinking-2507 --permutations 199"

From = Annotated[
    str,
    typer.Argument(
        metavar="SRC[@LAYER][:POOL]",
        help="A model directory, of the hub too (hf://datasets/OWNER/NAME[@REVISION]/PATH), with a "
        "saved layer and a pool.",
    ),
]
Out = Annotated[Path, typer.Option(help="baselines.json and baselines.csv go here.")]
Permutations = Annotated[
    int, typer.Option(min=1, metavar="N", help="Permutations of the labels within traces.")
]
Gaussians = Annotated[int, typer.Option(min=2, metavar="N", help="Draws of Gaussian rows.")]
SHOWN = ("rankme", "alpha_req")


def baselines(  # noqa: PLR0913, PLR0917 - a parameter for each flag
    source: From,
    config_file: ConfigFile = None,
    out: Out = Path("baselines"),
    permutations: Permutations = 199,
    gaussians: Gaussians = 10,
    categories: options.Categories = None,
    max_categories: options.MaxCategories = None,
    convention: options.ConventionName = None,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Draws from each labeling.")] = 1,
    seed: options.Seed = None,
    drop_first: options.DropFirst = None,
    drop_dims: options.DropDims = None,
    drop_norms: options.DropNorms = None,
    nonfinite: options.NonFinite = None,
    backend: options.BackendChoice = None,
    precision: options.PrecisionChoice = None,
    max_memory: options.MaxMemory = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Metrics of segments and categories beside what permuted labels and Gaussian rows would give.

    Labels are permuted among the steps of each trace, and every labeling is drawn from at one
    count. Gaussian rows, isotropic and with the covariance that the draw shows, are as many and as
    wide; a draw's covariance is steeper than its group's, so Gaussian states lie above the latter.
    """
    from spectra.chance import baselines as find
    from spectra.chance.documents import JSON_FILE, TABLE_FILE, table
    from spectra.chance.documents import document as as_document
    from spectra.sources import Source

    config = options.configuration(
        categories=categories,
        max_categories=max_categories,
        convention=convention,
        repeats=repeats,
        seed=seed,
        drop_first=drop_first,
        drop_dims=options.parsed(options.dimension_list, drop_dims),
        drop_norms=drop_norms,
        nonfinite=nonfinite,
        backend=backend,
        precision=precision,
        max_memory=options.parsed(options.size, max_memory),
    )
    with only_writer(out, JSON_FILE):
        with progress(quiet) as tell:
            found = find(
                Source.parse(source),
                config,
                permutations=permutations,
                gaussians=gaussians,
                progress=tell,
            )
        deliver(
            out,
            (JSON_FILE, as_document(found)),
            (TABLE_FILE, table(found)),
            lambda: (_table(found, metric) for metric in SHOWN),
            as_json=json,
            quiet=quiet,
        )


def _table(found: Baselines, metric: str) -> Table:
    from spectra.cli._tables import label_cell, new_table
    from spectra.results.records import group_name

    one = found.source
    title = f"{one.source.path.name}, layer {one.layer.index}, pool {one.source.pool}: {metric}"
    headings = ("group", "rows drawn", "observed", "labels permuted", "p", "p (Holm)")
    table = new_table(title, *headings, "isotropic", "same covariance")
    for group, (_, count, metrics) in found.groups.items():
        chance = metrics[metric]
        table.add_row(
            label_cell(group_name(group), 2 * (group.kind == "category")),
            f"{count:,}",
            _number(chance.observed),
            _spread(*chance.permuted),
            _number(chance.p, 2),
            _number(chance.p_holm, 2),
            _spread(*chance.isotropic),
            _spread(*chance.same_covariance),
        )
    return table


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _spread(mean: float | None, sd: float | None) -> str:
    return _number(mean) if sd is None else f"{_number(mean)} ± {sd:.2g}"
