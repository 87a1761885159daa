"""Two JSON documents side by side: every number, string and null."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from spectra.strict_json import JSON

_SPREAD = re.compile(r"\.sd\.|\.max_disagreement$")


@dataclass(frozen=True, slots=True)
class Pair:
    """One value as both documents have it.

    Attributes:
        path: where, such as `categories["Final Answer"].rankme`.
        a, b: the values; None also where a side has no such key or element.
        missing: "a" or "b" where that side has none.
        relative: |a - b| / max(|a|, |b|) of two numbers, else None.
        equal: whether they agree.
    """

    path: str
    a: JSON
    b: JSON
    missing: str | None
    relative: float | None
    equal: bool


def pairs(a: JSON, b: JSON, rtol: float, path: str = "") -> Iterator[Pair]:
    """The values of both documents, in the order of the first one.

    Two whole numbers are counts and must be equal; other numbers agree when
    |a - b| <= rtol max(|a|, |b|), strings, null and booleans when they are the same. Values under
    "sd" and "max_disagreement" are spreads that may be mere rounding of zero: there |a - b| <= rtol
    is enough.
    """
    if isinstance(a, dict | list) and type(a) is type(b):
        left, right = _children(a), _children(b)
        for key in left | right:
            inner = path + key
            if key in left and key in right:
                yield from pairs(left[key], right[key], rtol, inner)
            else:
                side = "b" if key in left else "a"
                yield Pair(
                    inner.removeprefix("."), left.get(key), right.get(key), side, None, False
                )
        return
    relative, tolerance = None, 0.0
    if _is_number(a) and _is_number(b):
        relative = _relative(a, b)
        tolerance = 0.0 if isinstance(a, int) and isinstance(b, int) else rtol
    equal = type(a) is type(b) and a == b if relative is None else relative <= tolerance
    if not equal and tolerance and _SPREAD.search(path):
        equal = abs(float(a) - float(b)) <= tolerance  # type: ignore[arg-type]
    yield Pair(path.removeprefix("."), a, b, None, relative, equal)


def _children(value: JSON) -> dict[str, JSON]:
    """The members of an object or array under the steps that lead to them in a path."""
    if isinstance(value, dict):
        return {f".{k}" if k.isidentifier() else f"[{json.dumps(k)}]": v for k, v in value.items()}
    assert isinstance(value, list)
    return {f"[{place}]": member for place, member in enumerate(value)}


def _is_number(value: JSON) -> bool:
    return type(value) is int or type(value) is float


def _relative(a: JSON, b: JSON) -> float:
    if a == b:
        return 0.0
    # Exact, since the difference of two doubles, or a long integer, may be beyond a double.
    assert isinstance(a, int | float)
    assert isinstance(b, int | float)
    x, y = Fraction(a), Fraction(b)
    return float(abs(x - y) / max(abs(x), abs(y)))
