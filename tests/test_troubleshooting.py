"""docs/troubleshooting.md has an entry for every error, and words that its messages really have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

from spectra.errors import SpectraError
from spectra.statistics import STATUSES
from tests.imports import PACKAGES, ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^\| `(\w+Error)`(?:: `(.+?)`)? \|", PAGE, re.MULTILINE)
ROOTS = {"SpectraError", "UsageError", "InputError", "OutputError"}


def error_classes() -> dict[str, type[SpectraError]]:
    """Of every module that defines some, loaded first."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.name in ("errors.py", "extras.py"):
                import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found, todo = {}, [SpectraError]
    while todo:
        one = todo.pop()
        todo += one.__subclasses__()
        if one.__module__.split(".")[0] in PACKAGES:
            found[one.__name__] = one
    return found


def texts() -> Iterator[str]:
    """Every string of the packages, … where an expression stands."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


TEXTS = tuple(texts())


def test_every_error_has_one_entry_and_no_entry_is_stale() -> None:
    named = [name for name, _ in ENTRIES]
    assert set(named) == set(error_classes())
    assert {name for name in named if named.count(name) > 1} <= ROOTS


@pytest.mark.parametrize(("name", "words"), [entry for entry in ENTRIES if entry[1]])
def test_messages_have_the_words_that_the_entry_quotes(name: str, words: str) -> None:
    pattern = re.compile(".*".join(map(re.escape, words.split(" … "))), re.DOTALL)
    assert any(pattern.search(text) for text in TEXTS), name


def test_all_but_the_roots_quote_their_message() -> None:
    assert {name for name, words in ENTRIES if not words} <= ROOTS


def test_exit_codes_are_those_of_the_classes() -> None:
    found = dict(re.findall(r"^\| `(\w+Error)` \| (\d) \|", PAGE, re.MULTILINE))
    classes = error_classes()
    assert set(found) == ROOTS
    assert {name: classes[name].exit_code for name in found} == {
        name: int(code) for name, code in found.items()
    }


def test_every_status_without_values_is_explained() -> None:
    body = PAGE.split("## No error, but no value")[1]
    assert re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE) == list(STATUSES[1:])
