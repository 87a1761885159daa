"""Tables for people: labels on the left, numbers on the right, as wide as the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text, TextType

from spectra.printable import printable, shortened

_SIZE_OF_A_FILE = (120, 25)
_LABEL_WIDTH = 40
_LEAST_LABEL_WIDTH = 16
_UNBOUNDED = 10_000


def new_table(title: str, *headings: str) -> Table:
    """A table whose first column holds labels and whose others hold numbers."""
    table = _empty(Text(printable(title)))
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def label_cell(label: str, indent: int = 0) -> Text:
    """A label as a cell: no markup, no control characters, 40 characters at most."""
    return Text(" " * indent + shortened(label, _LABEL_WIDTH))


def print_table(table: Table) -> None:
    """Print on stdout, as wide as COLUMNS or the terminal says, or 120 columns where neither does.

    Labels fold where they must, numbers never do: columns that do not fit follow in a further
    block, which has the labels again.
    """
    width, height = shutil.get_terminal_size(_SIZE_OF_A_FILE)
    console = Console(width=width, height=height)
    for block in _blocks(table, console):
        console.print(block)


def _blocks(table: Table, console: Console) -> Iterator[Table]:
    title, places = table.title, range(1, 2)
    unbounded = console.options.update(width=_UNBOUNDED)
    for last in range(2, len(table.columns)):
        wider = range(places.start, last + 1)
        probe = _part(table, None, wider, _LEAST_LABEL_WIDTH)
        if console.measure(probe, options=unbounded).maximum > console.width:
            yield _part(table, title, places)
            title, wider = None, range(last, last + 1)
        places = wider
    yield _part(table, title, places)


def _part(
    table: Table, title: TextType | None, places: Sequence[int], label_width: int | None = None
) -> Table:
    """The labels and some other columns; labels at most `label_width` wide."""
    part = _empty(title)
    columns = [table.columns[place] for place in (0, *places)]
    for column in columns:
        part.add_column(
            column.header,
            justify=column.justify,
            overflow=column.overflow,
            no_wrap=column.no_wrap,
            max_width=None if part.columns else label_width,
        )
    for row, *cells in zip(table.rows, *(column.cells for column in columns), strict=True):
        part.add_row(*cells, end_section=row.end_section)
    return part


def _empty(title: TextType | None) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
