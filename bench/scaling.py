"""What rows cost: the rate of products, reading beside them, growth with rows, and the start.

`python -m bench.scaling` prints a card, four tables and, as its last line, the whole as one JSON
document. Progress goes to stderr on a terminal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import _card, _shell
from bench._growth import growth, sizes, start
from bench._streaming import overlap, products
from bench._tables import plain_table

DIMS = (576, 1024, 2048)

MEASURES = (
    "products: bfloat16 rows in memory to moments, by the backend, and on a CPU its tiles alone on "
    "float64 rows, as the library has them; overlap: rows from a file to moments, "
    "against reading alone and multiplying alone; growth: `spectra run` over more traces and over "
    "longer steps, the rows' own share (one pool, one bin, one small subsample) and, over more "
    "traces, the whole job, as processes; "
    "start: `spectra run --help` and a run over two short traces, as processes"
)
METHOD = (
    "medians of wall times after a warm-up, tasks in turns; processes from start to end. Growth: "
    "least squares of time over rows, by relative residuals; its constant is the start-up, and "
    "what is left of each time is compared with the slope times the rows"
)
FLOOR = "the BLAS's syrk on all cores on float64 rows (a device's matrix product), by width"

app = typer.Typer(add_completion=False)

Cell = dict[str, Any]


@app.command()
def main(
    dims: Annotated[str | None, typer.Option(help="Widths d, such as 576,1024.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Rows of products and overlap.")] = 65536,
    traces: Annotated[int, typer.Option(min=1, help="Of 960 tokens, for growth's least.")] = 120,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    backend: _shell.BackendName = "auto",
    save: _shell.Save = None,
) -> None:
    """Rate of products, overlap with reading, growth with rows, start."""
    _shell.check_save(save)
    chosen = _shell.chosen_backend(backend)
    widths = _shell.integers("--dims", dims) or DIMS
    out = _shell.recorder()
    rates = _card.rates(chosen.name, 1024 if chosen.name == "cpu" else 4096, 1 << 28)
    measured = {
        "dims": list(widths),
        "rows": rows,
        "growth": {
            f"more {grown}": [size.describe() for size in of_kind]
            for grown, of_kind in sizes(widths[0], traces).items()
        },
        "repeats": repeats,
        "backend": chosen.name,
    }
    card = _card.card("scaling", f"{MEASURES}; {METHOD}", measured, {"how": FLOOR, **rates})
    out.print("\n".join(_card.lines(card)), soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch, Console(stderr=True).status("") as status:
        found: dict[str, list[Cell]] = {"products": [], "overlap": []}
        for dim in widths:
            status.update(f"products and overlap, d = {dim}")
            found["products"].append(products(chosen, dim, rows, repeats))
            found["overlap"].append(overlap(chosen, dim, rows, repeats, Path(scratch)))
        status.update(f"growth, d = {widths[0]}")
        found["growth"] = growth(widths[0], traces, repeats, chosen.name, Path(scratch))
        status.update("start")
        found["start"] = start(repeats, chosen.name, Path(scratch))
    for name, cells in found.items():
        out.print()
        out.print(table(TITLES[name], cells))
    _shell.finish(out, {"card": card, **found}, save)


TITLES = {
    "products": "Products of rows in memory",
    "overlap": "Reading beside products: seconds",
    "growth": "Growth with rows, whole processes",
    "start": "From a cold start, whole processes",
}


def table(title: str, cells: Sequence[Cell]) -> Table:
    """Cells as lines, their fields as columns."""
    made = plain_table(title)
    for name in cells[0]:
        text = isinstance(cells[0][name], str)
        made.add_column(name.replace("_", " "), justify="left" if text else "right")
    for cell in cells:
        made.add_row(*map(_text, cell.values()))
    return made


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    app()
