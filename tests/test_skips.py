"""Skips are an inventory: each one's reason stands in tests/skips.py, and none there is stale."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.skips import REASONS

SKIPPERS = {"skip", "skipif", "xfail", "importorskip"}


def skips_in(source: str) -> Iterator[tuple[int, str | None]]:
    """The line and the reason of every skip in a module; None where it is no plain string.

    A bare ``@pytest.mark.skip`` is an attribute that nobody calls: it has no reason either.
    """
    tree = ast.parse(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_skipper(node.func):
            yield node.lineno, _reason(node)
        elif isinstance(node, ast.Attribute) and _is_skipper(node) and id(node) not in called:
            yield node.lineno, None


def _is_skipper(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr not in SKIPPERS:
        return False
    return ast.unparse(node.value) in {"pytest", "pytest.mark"}


def _reason(call: ast.Call) -> str | None:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    # skip and pytest.xfail also take the reason first; the first of skipif is its condition.
    positional = call.args[:1] if ast.unparse(call.func).endswith((".skip", "pytest.xfail")) else []
    for node in (*named, *positional):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
    return None


def skips_of_suite() -> list[tuple[str, str | None]]:
    root = Path(__file__).parent
    return [
        (f"{path.relative_to(root)}:{line}", reason)
        for path in sorted(root.rglob("*.py"))
        for line, reason in skips_in(path.read_text(encoding="utf-8"))
    ]


def test_every_skip_is_in_the_inventory() -> None:
    unlisted = [(where, why) for where, why in skips_of_suite() if why not in REASONS]
    assert not unlisted, f"give each a reason of tests/skips.py, as a plain string: {unlisted}"


def test_inventory_has_no_stale_reason() -> None:
    assert set(REASONS) <= {reason for _, reason in skips_of_suite()}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("@pytest.mark.skip\ndef test(): ...", None),
        ("@pytest.mark.skip()\ndef test(): ...", None),
        ("@pytest.mark.skip(reason='slow')\ndef test(): ...", "slow"),
        ("@pytest.mark.skipif(CPU, reason='no GPU')\ndef test(): ...", "no GPU"),
        ("@pytest.mark.skipif('CPU')\ndef test(): ...", None),
        ("@pytest.mark.xfail(strict=True, reason='later')\ndef test(): ...", "later"),
        ("pytest.skip('no GPU')", "no GPU"),
        ("pytest.skip(f'no {what}')", None),
        ("pytest.importorskip('flax')", None),
    ],
)
def test_finds_each_form_of_skip(source: str, reason: str | None) -> None:
    assert [why for _, why in skips_in(source)] == [reason]


def test_other_calls_are_no_skips() -> None:
    assert not list(skips_in("rows.skip(3)\nimport pytest\npytest.raises(ValueError)"))
