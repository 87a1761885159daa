"""docs/api.md is what its script makes of today's docstrings, and misses no public name."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from tools.api_reference import PACKAGES, PAGE, markdown, page, public_names

HINT = "run `make docs`"


def test_the_page_is_what_the_script_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), HINT


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_its_heading_and_its_words(package: str) -> None:
    text = page()
    for name in public_names(package):
        assert f"\n### {package}.{name}\n" in text
        value = getattr(import_module(package), name)
        if callable(value):
            (first, *_) = (inspect.getdoc(value) or "").splitlines()
            assert f"\n{first}\n" in text


def test_sections_of_a_docstring_become_lists() -> None:
    def documented() -> None:
        """One line.

        A paragraph.

        Args:
            a, b: two
                lines.

        Returns:
            A number.

        Raises:
            ValueError: it is wrong.

        An afterthought.
        """

    assert markdown(documented) == (
        "One line.\n\nA paragraph.\n\n**Arguments:**\n\n- `a, b`: two lines.\n\n"
        "**Returns:** A number.\n\n**Raises:**\n\n- `ValueError`: it is wrong.\n\n"
        "An afterthought.\n"
    )
