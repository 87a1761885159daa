"""`spectra compare`: models, layers or pools side by side on the same traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spectra.cli import _options as options
from spectra.cli._config import ConfigFile
from spectra.cli._progress import progress
from spectra.cli._results import deliver, only_writer
from spectra.cli._text import document, say

if TYPE_CHECKING:
    from rich.table import Table

    from spectra.compare import Comparison, Prospect
    from spectra.compare.comparison import Pair
    from spectra.sources import Opened

EXAMPLE = "spectra compare states/olmo-sft states/olmo-dpo --out comparison"

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC[@LAYER][:POOL]...",
        help="Model directories, of the hub too (hf://datasets/OWNER/NAME[@REVISION]/PATH), each "
        "with a saved layer and a pool of its own where wanted.",
    ),
]
Out = Annotated[Path, typer.Option(help="comparison.json and comparison.csv go here.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be compared, and at which counts.")
]
Count = Annotated[int, typer.Option(min=32, metavar="N", help="Rows of a draw at most.")]
KINDS = ("global", "segment", "category")
"""Groups that the table shows; the files have segments by categories, too."""

SHOWN = ("rankme", "normalised_rank", "alpha_req")


def compare(  # noqa: PLR0913, PLR0917 - a parameter for each flag
    sources: Sources,
    config_file: ConfigFile = None,
    out: Out = Path("comparison"),
    count: Count = 4096,
    categories: options.Categories = None,
    max_categories: options.MaxCategories = None,
    convention: options.ConventionName = None,
    repeats: options.Repeats = None,
    seed: options.Seed = None,
    sampling: options.Sampling = None,
    drop_first: options.DropFirst = None,
    drop_dims: options.DropDims = None,
    drop_norms: options.DropNorms = None,
    nonfinite: options.NonFinite = None,
    backend: options.BackendChoice = None,
    precision: options.PrecisionChoice = None,
    max_memory: options.MaxMemory = None,
    dry_run: DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Differences of metrics between models, layers or pools on the traces that all of them have.

    Groups are drawn from at the size that they have where they are smallest. Standard errors are
    of the paired difference, over problems or traces; p-values are adjusted for the groups of a
    kind (Holm).
    """
    from spectra import strict_json
    from spectra.compare import Source, prospect
    from spectra.compare import compare as find
    from spectra.compare.documents import JSON_FILE, TABLE_FILE, dry_document, table
    from spectra.compare.documents import document as as_document

    config = options.configuration(
        categories=categories,
        max_categories=max_categories,
        convention=convention,
        repeats=repeats,
        seed=seed,
        sampling=sampling,
        drop_first=drop_first,
        drop_dims=options.parsed(options.dimension_list, drop_dims),
        drop_norms=drop_norms,
        nonfinite=nonfinite,
        backend=backend,
        precision=precision,
        max_memory=options.parsed(options.size, max_memory),
    )
    wanted = [Source.parse(text) for text in sources]
    if dry_run:
        plan = prospect(wanted, config, count)
        if json:
            document(strict_json.dumps(dry_document(plan)))
        else:
            say(_described(plan))
        return
    with only_writer(out, JSON_FILE):
        with progress(quiet) as tell:
            found = find(wanted, config, most=count, progress=tell)
        deliver(
            out,
            (JSON_FILE, as_document(found)),
            (TABLE_FILE, table(found)),
            lambda: (_table(found, pair) for pair in found.pairs),
            as_json=json,
            quiet=quiet,
        )


def _described(plan: Prospect) -> str:
    from spectra.results.records import group_name

    lines = [
        f"Dry run: nothing is written. {len(plan.sources[0].samples)} shared traces of",
        *(f"  {_name(one)}: {one.source.path}" for one in plan.sources),
        "would be compared, groups at",
    ]
    for group, count in plan.counts.items():
        lines.append(f"  {count:>6,} rows  {group_name(group)}")
    lines += [
        f"  {group_name(group)} is left out: {' and '.join(map(str, rows))} rows"
        for group, rows in plan.left_out().items()
    ]
    return "\n".join([*lines, *(f"Warning: {warning}" for warning in plan.warnings)])


def _name(one: Opened) -> str:
    return f"{one.source.path.name}, layer {one.layer.index}, pool {one.source.pool}"


def _table(found: Comparison, pair: Pair) -> Table:
    from spectra.cli._tables import label_cell, new_table
    from spectra.results.records import group_name

    a, b = found.prospect.sources[pair.a], found.prospect.sources[pair.b]
    title = f"{_name(b)} less {_name(a)}"
    shown = [metric for metric in SHOWN if metric in found.prospect.metrics]
    table = new_table(f"{title}: {len(a.samples)} shared traces", "group", "rows drawn", *shown)
    for one in pair.groups:
        if one.group.kind not in KINDS:
            continue
        indent, cells = 2 * (one.group.kind != "global"), []
        for metric in shown:
            each = one.differences[metric]
            if each.difference is None:
                cells.append("undefined")
                continue
            spread = "" if each.se is None else f" ± {each.se:.2g}"
            p = "" if each.p_holm is None else f"  p {each.p_holm:.2g}"
            cells.append(f"{each.difference:+.4g}{spread}{p}")
        table.add_row(label_cell(group_name(one.group), indent), f"{one.count:,}", *cells)
    return table
