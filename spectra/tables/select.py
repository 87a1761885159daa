"""Rows of the tidy table that meet conditions on its columns."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spectra.errors import UsageError
from spectra.extras import require
from spectra.outputs import COLUMNS as OF_A_RUN
from spectra.outputs import FILES

COLUMNS = ("run", *OF_A_RUN)

SWEEP = FILES[2]

_SHOWN = 12


def selection(conditions: Iterable[str]) -> dict[str, list[str]]:
    """From texts COLUMN=VALUE, the values allowed in each column; an empty one stands for none.

    Raises `UsageError` for a text of another form or a column that is not there.
    """
    wanted: dict[str, list[str]] = {}
    for text in conditions:
        column, equals, value = text.partition("=")
        if not equals or column not in COLUMNS:
            near = difflib.get_close_matches(column, COLUMNS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"--where {text!a}: expected COLUMN=VALUE with a column among "
                f"{', '.join(COLUMNS)}.{hint}"
            )
        wanted.setdefault(column, []).append(value)
    return wanted


def select(frame: Any, wanted: Mapping[str, Sequence[str]]) -> Any:
    """The rows of a polars frame whose columns have one of the values wanted.

    Raises `UsageError` where none has, naming the values that there are.
    """
    pl = require("polars", "tables")
    for column, values in wanted.items():
        text = pl.col(column).cast(pl.String).fill_null("")
        shown = [value.encode("utf-8", "backslashreplace").decode() for value in values]
        kept = frame.filter(text.is_in(shown))
        if kept.is_empty():
            found = frame.select(text.unique().sort()).to_series().to_list()
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise UsageError(
                f"No row has {column} = {' or '.join(map(ascii, values))} with the conditions "
                f"before it. Expected one of {', '.join(map(ascii, found[:_SHOWN]))}{more}."
            )
        frame = kept
    return frame


def at_matched_counts(frame: Any) -> Any:
    """The rows of a polars frame that are of groups at the count which their kind shares.

    Raises `UsageError` where the runs made no such comparison.
    """
    pl = require("polars", "tables")
    kept = frame.filter(pl.col("file").ne(SWEEP) & pl.col("count").is_not_null())
    if kept.is_empty():
        raise UsageError(
            "No groups were compared at matched counts: none shared enough rows, or the run was "
            "told --no-matched. Run it again, or leave --matched out."
        )
    return kept
