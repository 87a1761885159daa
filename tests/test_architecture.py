"""docs/architecture.md says which part may import which, and the imports are so."""

from __future__ import annotations

import re
from collections import defaultdict
from graphlib import TopologicalSorter

import pytest

from tests.imports import PACKAGES, ROOT, Import, imports, parts

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
KNOWN = {("extract/traces/check.py", "extract.text")}
"""What the page names as not fitting yet."""

ALL = [one for one in imports() if not one.typing]
RUNTIME = [one for one in ALL if (one.file, one.imported) not in KNOWN]


def table(heading: str) -> list[list[str]]:
    """The cells of each row below a line of headings."""
    body = PAGE.split(f"| {heading} |\n", 1)[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def names(cell: str) -> list[str]:
    return re.findall(r"`([\w.]+)`", cell)


def rows(package: str) -> list[list[str]]:
    return [
        [f"{package}.{name}" for name in names(cell)]
        for _, cell in table(f"row | parts of `{package}`")
    ]


EXACT = {
    names(part)[0]: set(names(cell))
    for part, cell in table("part | imports of `spectra` and `extract`")
}


def test_every_part_is_in_one_row() -> None:
    listed = [name for package in PACKAGES for row in rows(package) for name in row]
    assert sorted(listed) == sorted(parts())


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_to_the_same_row_or_one_above(package: str) -> None:
    place = {name: number for number, row in enumerate(rows(package)) for name in row}
    wrong = [
        one
        for one in RUNTIME
        if one.importer in place
        and one.imported in place
        and place[one.imported] > place[one.importer]
    ]
    assert not wrong


def test_there_is_no_cycle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for one in RUNTIME:
        graph[one.importer].add(one.imported)
    assert len(list(TopologicalSorter(graph).static_order())) <= len(parts())


@pytest.mark.parametrize("part", EXACT)
def test_parts_with_a_list_import_just_that(part: str) -> None:
    assert {one.imported for one in RUNTIME if one.importer == part} == EXACT[part]


def test_only_the_command_line_knows_extraction() -> None:
    found = {one.importer for one in ALL if one.imported.startswith("extract.")}
    assert {name for name in found if name.startswith("spectra.")} == {"spectra.cli"}


def test_extraction_knows_the_ground_and_the_states() -> None:
    by_name = {cells[0]: names(cells[1]) for cells in table("row | parts of `spectra`")}
    allowed = {f"spectra.{name}" for row in ("ground", "states") for name in by_name[row]}
    found = {one.imported for one in RUNTIME if one.importer.startswith("extract.")}
    used = {name for name in found if name.startswith("spectra.")}
    assert used - allowed == {"spectra.backend", "spectra.direct"}
    measuring = {one.file for one in RUNTIME if one.imported == "spectra.direct"}
    assert {file for file in measuring if file.startswith("extract/")} == {"extract/spectral.py"}


def test_what_does_not_fit_is_named_and_real() -> None:
    found = {(one.file, one.imported) for one in ALL}
    for file, imported in KNOWN:
        assert f"`{file}` imports `{imported}`" in PAGE
        assert (file, imported) in found


def test_every_file_that_the_page_names_exists() -> None:
    for path in re.findall(r"`((?:spectra|extract|tests|tools)/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path


def test_imports_are_found_wherever_they_stand() -> None:
    found = {(one.file, one.imported, one.typing) for one in imports()}
    assert ("spectra/engine/plan.py", "spectra.sampling", False) in found
    assert ("spectra/notes.py", "spectra.artifacts", True) in found
    assert ("extract/traces/check.py", "extract.text", False) in found
    assert Import("spectra/cli/_run.py", "spectra.cli", "spectra.pipeline", True) in list(imports())
