"""A table for readers: a group a line, a metric a column, value ± standard error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spectra.display import SHOWN, number

_LABELS = ("run", "model", "layer", "pool", "file", "group_kind", "segment", "category", "bin",
           "count", "route")  # fmt: skip
_ALWAYS = ("segment", "category", "num_rows")
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Wide:
    """Cells of a table.

    Attributes:
        headings: a name a column.
        numeric: whether each column holds numbers.
        lines: cells: None, text, an integer, or a value with its standard error (or None).
    """

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[tuple[Any, ...], ...]

    def cells(self, plus_minus: str) -> Iterator[list[str]]:
        """The lines as text, `plus_minus` between a value and its error."""
        for line in self.lines:
            yield [
                _cell(value, name, plus_minus)
                for value, name in zip(line, self.headings, strict=True)
            ]


def wide(frame: Any, metrics: Sequence[str]) -> Wide:
    """Of a tidy polars frame, a line for each group and a column for each of the metrics it has.

    Columns of labels that are the same in every line are left out.
    """
    found: dict[tuple[Any, ...], dict[str, tuple[Any, Any]]] = {}
    keys = (*_LABELS, "num_rows")
    for row in frame.iter_rows(named=True):
        if row["metric"] in metrics:
            line = found.setdefault(tuple(row[key] for key in keys), {})
            line[row["metric"]] = (row["value"], row["se"])
    kept = [
        place
        for place, key in enumerate(keys)
        if (key in _ALWAYS or len({line[place] for line in found}) > 1) and key != "group_kind"
    ]
    shown = [metric for metric in metrics if any(metric in line for line in found.values())]
    headings = [keys[place] for place in kept]
    numbers = ("layer", "bin", "count", "num_rows", *shown)
    return Wide(
        (*headings, *shown),
        tuple(name in numbers for name in (*headings, *shown)),
        tuple(
            (*(key[place] for place in kept), *(line.get(metric) for metric in shown))
            for key, line in found.items()
        ),
    )


def _cell(value: Any, heading: str, plus_minus: str) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        digits = SHOWN.get(heading, _DIGITS)
        text = number(value[0], digits)
        return text if value[1] is None else f"{text}{plus_minus}{number(value[1], digits)}"
    return f"{value:,}" if isinstance(value, int) else str(value)
