"""Map files: TOML with `name`, `source` and a table of macro categories and their labels.

For example::

    name = "mine"
    source = "the annotation guide, version 2"

    [categories]
    Progress = ["Deduction", "Adding Knowledge"]
    Checking = ["Example Testing", "Backtracking"]
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

from spectra import strict_toml
from spectra.categories._map import IDENTITY, CategoryMap, fold
from spectra.errors import CategoryMapError, UnknownCategoryMapError
from spectra.files import read_capped
from spectra.json_fields import show, some

PRESETS = ("identity", "schoenfeld", "thought_anchors", "steering_thinking", "traces11")

_LARGEST_MAP = 4 << 20
_FIELDS = {"name", "source", "categories"}


def load_map(name_or_path: str | os.PathLike[str]) -> CategoryMap:
    """The preset of this name (`-` and `_` alike), or the map in this TOML file.

    Raises `UnknownCategoryMapError` for what is neither, `CategoryMapError` for a faulty file.
    """
    text = os.fspath(name_or_path)
    preset = text.replace("-", "_").lower()
    if preset == IDENTITY.name:
        return IDENTITY
    if preset in PRESETS:
        data = resources.files(__package__).joinpath(f"{preset}.toml").read_bytes()
        return _parse(data, f"preset {preset}")
    path = Path(text)
    if path.suffix != ".toml" and not os.path.exists(path):
        raise UnknownCategoryMapError(
            f"There is no category map {text!r}. Expected one of {', '.join(PRESETS)}, or the path "
            "of a TOML file."
        )
    return _parse(read_capped(path, _LARGEST_MAP), str(path))


def _parse(data: bytes, where: str) -> CategoryMap:
    try:
        document = strict_toml.loads(data)
    except ValueError as error:
        raise CategoryMapError(f"{where} is not a TOML file in UTF-8: {error}.") from None
    unknown = document.keys() - _FIELDS
    if unknown:
        raise CategoryMapError(
            f"{where} has the unknown fields {some(sorted(unknown))}; expected "
            "name, source and the table categories."
        )
    name, source = document.get("name", Path(where).stem), document.get("source", where)
    if not (isinstance(name, str) and isinstance(source, str)):
        raise CategoryMapError(f"{where}: name and source must be strings.")
    return CategoryMap(name, source, _labels(document.get("categories"), where))


def _labels(table: Any, where: str) -> dict[str, str]:
    if not isinstance(table, dict) or not table:
        raise CategoryMapError(
            f"{where} has no table [categories] with an entry. Expected lines such as "
            'Checking = ["Example Testing", "Backtracking"].'
        )
    result: dict[str, str] = {}
    owner: dict[str, str] = {}
    for macro, labels in table.items():
        if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise CategoryMapError(
                f"{where}: categories.{macro[:60]} is {ascii(labels)[:60]}; expected an array of "
                "labels."
            )
        for label in labels:
            if owner.setdefault(fold(label), macro) != macro:
                raise CategoryMapError(
                    f"{where}: the label {show(label)} is listed under {show(owner[fold(label)])} "
                    f"and {show(macro)}; case, blanks, - and _ do not distinguish labels. Keep one."
                )
            result[label] = macro
    return result
