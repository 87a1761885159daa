"""What each module of the packages imports of the two packages, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("spectra", "extract")


class Import(NamedTuple):
    """An import of one of the packages' parts, `spectra.engine` say, in a file.

    `typing` is whether it is for the type checker alone.
    """

    file: str
    importer: str
    imported: str
    typing: bool


def parts() -> set[str]:
    """The modules and packages right under the two packages: `spectra.engine`."""
    return {
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in (ROOT / package).iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or any(path.glob("*.py"))
    }


def imports() -> Iterator[Import]:
    """Every import of a part by another one; those of the packages' own __init__ left aside."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = path.relative_to(ROOT)
            importer = ".".join(file.with_suffix("").parts[:2])
            if importer.endswith("__init__"):
                continue
            for name, typing in _names(ast.parse(path.read_text(encoding="utf-8"))):
                imported = ".".join(name.split(".")[:2])
                if imported.split(".")[0] in PACKAGES and imported != importer:
                    yield Import(file.as_posix(), importer, imported, typing)


def _names(node: ast.AST, typing: bool = False) -> Iterator[tuple[str, bool]]:
    """Dotted names imported anywhere below, functions included."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, typing) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        if node.module in PACKAGES:
            yield from ((f"{node.module}.{alias.name}", typing) for alias in node.names)
        else:
            yield str(node.module), typing
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for statement in node.body:
            yield from _names(statement, True)
        for statement in node.orelse:
            yield from _names(statement, typing)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names(child, typing)
