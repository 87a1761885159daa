"""TOML as data from strangers: whatever it does to the parser is one kind of error."""

from __future__ import annotations

import tomllib
from typing import Any


def loads(data: bytes) -> dict[str, Any]:
    """The document in `data`; raises `ValueError`, whose text says why it is none."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("its arrays, tables or dotted keys are nested too deeply") from None
