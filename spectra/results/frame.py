"""The tidy table as a data frame of polars or pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from spectra.errors import UsageError
from spectra.extras import require

_INTEGERS = {"layer", "bin", "count", "num_rows", "num_steps", "num_traces"}
_FLOATS = {"value", "se"}


def frame(
    columns: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
    library: Literal["polars", "pandas"] = "polars",
) -> Any:
    """Rows under `columns`: integers, floats and strings, null where there is no value.

    Raises `MissingExtraError` where the package is not installed.
    """
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    if library == "polars":
        pl = require("polars", "tables")
        kinds = {**dict.fromkeys(_INTEGERS, pl.Int64), **dict.fromkeys(_FLOATS, pl.Float64)}
        return pl.DataFrame(
            [
                pl.Series(name, _text(column) if name not in kinds else column,
                          dtype=kinds.get(name, pl.String), strict=True)
                for name, column in zip(columns, values, strict=True)
            ]
        )  # fmt: skip
    if library == "pandas":
        pd = require("pandas", "tables")
        types = {**dict.fromkeys(_INTEGERS, "Int64"), **dict.fromkeys(_FLOATS, "Float64")}
        return pd.DataFrame(
            {
                name: pd.array(column, dtype=types[name]) if name in types else _text(column)
                for name, column in zip(columns, values, strict=True)
            }
        )
    raise UsageError(f"There are no frames of {library!r}. Expected polars or pandas.")


def _text(column: Sequence[str | None]) -> list[str | None]:
    """Lone surrogates, which a label may hold and UTF-8 may not, as escapes."""
    return [
        None if value is None else value.encode("utf-8", "backslashreplace").decode()
        for value in column
    ]
