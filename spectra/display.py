"""Numbers and tables as people read them: in a console, and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from spectra.printable import printable

SHOWN = {"rankme": 2, "rankme_sigma": 2, "alpha_req": 3}
"""The metrics of a short view, and their decimals."""


def number(value: Any, digits: int) -> str:
    """With so many decimals; a dash for no value."""
    return "–" if value is None else f"{float(value):,.{digits}f}"


def with_error(value: Any, se: Any, digits: int) -> str:
    """value ± standard error."""
    return number(value, digits) + ("" if se is None else f" ± {number(se, digits)}")


def text_table(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, columns aligned: the first and last to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ends = (0, len(widths) - 1)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in ends else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def html_table(caption: str, headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of HTML, everything in it escaped."""
    head, *body = (
        "".join(f"<{tag}>{escape(printable(cell))}</{tag}>" for cell in line)
        for tag, line in (("th", headings), *(("td", line) for line in lines))
    )
    title = f"<caption>{escape(printable(caption))}</caption>" if caption else ""
    rows = "".join(f"<tr>{cells}</tr>" for cells in body)
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
