"""Edits of a JSON document that byte edits would seldom hit upon.

A document is parsed so that it can say what Python's objects cannot: a key twice (objects are
`Pairs`) and text that is no value at all (`Raw`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-0", "-0.0", "1e-400", "5e-324", "1.7e308"),
    *("-1", "0", "1", "2", "3.0", "0.5", "1e3", "2147483647", "2147483648", "4294967296"),
    *("9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551616", "-9223372036854775809", "9" * 400, "9" * 4300, "9" * 4301, "01"),
)
TEXTS = (
    *("", " ", "0", "12", "true", "null", "../x", "/etc/hostname", "a/b", "a\\b", "C:x", "."),
    *("..", "a\0b", "\n", "\r\n\t", "\x1b[31mred", "\u202eevil", "\u200b", "\ufeff", "e\u0301"),
    *("\ud800", "\udfff\ud800", "😀", "\U0010ffff", "ﬀ", "İ", "ß", "<script>", "=1+1", "@x"),
    *("thought", "thinking ", "solution", "__class__", "{0}", "%s%n", "hidden_states", "-0"),
    *("a" * 255, "a" * 256, "é" * 128, "x" * 10_000, "\u00a0", "\x7f", "\x85", "{{ 1 }}"),
)
_HUGE = 1 << 20


class Pairs(list[list[Any]]):
    """An object as a list of [key, value], so that a key can be there twice."""


class Raw(str):
    """Text that is written as it stands."""

    __slots__ = ()


def parse(text: str | bytes) -> Any:
    """The document in `text`; raises `ValueError` or `RecursionError`."""
    return json.loads(text, object_pairs_hook=lambda pairs: Pairs(map(list, pairs)))


def render(node: Any, *, ascii_only: bool = True) -> bytes:
    """The text of a document; without `ascii_only`, half a surrogate pair is no valid UTF-8."""
    return "".join(_pieces(node, ascii_only)).encode("utf-8", "surrogatepass")


def edit(node: Any, rng: random.Random) -> tuple[Any, str]:
    """The document with one edit, made in place where it has any part, and what was done."""
    slots = list(_slots(node))
    if not slots:
        return _other_value(node, rng), "replace the document"
    slot = rng.choice(slots)
    name = rng.choice(list(_EDITS))
    done = _EDITS[name](slot, slots, rng)
    return node, f"{name} {slot.path} {done}".strip()[:200]


@dataclass(frozen=True, slots=True)
class _Slot:
    """A value's place: the item `position` of `parent`."""

    parent: Any
    position: int
    path: str

    @property
    def value(self) -> Any:
        item = self.parent[self.position]
        return item[1] if isinstance(self.parent, Pairs) else item

    def put(self, new: Any) -> None:
        if isinstance(self.parent, Pairs):
            self.parent[self.position][1] = new
        else:
            self.parent[self.position] = new


def _copied(node: Any) -> Any:
    if isinstance(node, Pairs):
        return Pairs([key, _copied(value)] for key, value in node)
    return [_copied(item) for item in node] if isinstance(node, list) else node


def _slots(node: Any) -> Iterator[_Slot]:
    waiting: list[tuple[Any, str]] = [(node, "$")]
    while waiting:
        parent, path = waiting.pop()
        if not isinstance(parent, list):
            continue
        for position, item in enumerate(parent):
            key = f".{item[0]}" if isinstance(parent, Pairs) else f"[{position}]"
            slot = _Slot(parent, position, path + key)
            yield slot
            waiting.append((slot.value, slot.path))


def _pieces(node: Any, ascii_only: bool) -> Iterator[str]:
    if isinstance(node, Raw):
        yield node
    elif isinstance(node, list):
        yield "{" if isinstance(node, Pairs) else "["
        for position, item in enumerate(node):
            yield ", " if position else ""
            if isinstance(node, Pairs):
                yield json.dumps(item[0], ensure_ascii=ascii_only) + ": "
                yield from _pieces(item[1], ascii_only)
            else:
                yield from _pieces(item, ascii_only)
        yield "}" if isinstance(node, Pairs) else "]"
    else:
        yield json.dumps(node, ensure_ascii=ascii_only)


# ---- edits --------------------------------------------------------------------------------------

_Edit = Callable[[_Slot, list[_Slot], random.Random], str]


def _delete(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    del slots, rng
    del slot.parent[slot.position]
    return ""


def _rename(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    if not isinstance(slot.parent, Pairs):
        return _delete(slot, slots, rng)
    key = slot.parent[slot.position][0]
    other = rng.choice(slot.parent)[0]
    new = rng.choice([key + " ", key.upper(), key + "\ud800", "", other, rng.choice(TEXTS)])
    slot.parent[slot.position][0] = new
    return f"to {new!a:.40}"


def _duplicate(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    item = slot.parent[slot.position]
    if isinstance(slot.parent, Pairs):
        item = [item[0], _other_value(item[1], rng) if rng.random() < 0.5 else item[1]]
    times = rng.choice([1, 1, 1, 2, 50])
    slot.parent[slot.position : slot.position] = [item] * times
    return f"{times} times"


def _retype(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    slot.put(_other_value(slot.value, rng))
    return f"to {str(slot.value)!a:.60}"


def _number(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    slot.put(Raw(rng.choice(NUMBERS)))
    return f"to {slot.value:.40}"


def _nudge(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    """A value of the same kind, close by."""
    value = slot.value
    if isinstance(value, bool) or value is None:
        slot.put(rng.choice([True, False, None]))
    elif isinstance(value, int | float):
        half = value // 2 if isinstance(value, int) else value / 2
        slot.put(rng.choice([value + 1, value - 1, -value, value * 2, half, Raw(f"{half}.5")]))
    elif isinstance(value, str) and not isinstance(value, Raw):
        place = rng.randint(0, len(value))
        slot.put(value[:place] + rng.choice(TEXTS) + value[place + rng.randint(0, 2) :])
    elif isinstance(value, list):
        rng.shuffle(value)
    return f"to {str(slot.value)!a:.60}"


def _text(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    huge = rng.random() < 0.02
    slot.put("x" * _HUGE if huge else rng.choice(TEXTS))
    return f"to {slot.value!a:.40}"


def _deepen(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    depth = rng.choice([10, 63, 64, 65, 66, 500, 1200, 20_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    slot.put(Raw(opening * depth + "0" + closing * depth))
    return f"{depth} times {opening}"


def _swap(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    """Two values change places; copied, lest one hold itself."""
    other = rng.choice(slots)
    mine, theirs = _copied(slot.value), _copied(other.value)
    slot.put(theirs)
    if not other.path.startswith(slot.path):
        other.put(mine)
    return f"with {other.path}"


def _insert(slot: _Slot, slots: list[_Slot], rng: random.Random) -> str:
    """Something that nobody asked for."""
    new = _other_value(None, rng)
    slot.parent.insert(
        slot.position, [rng.choice(TEXTS), new] if isinstance(slot.parent, Pairs) else new
    )
    return f"{str(new)!a:.60}"


_EDITS: dict[str, _Edit] = {
    "delete": _delete,
    "rename": _rename,
    "duplicate": _duplicate,
    "retype": _retype,
    "number": _number,
    "nudge": _nudge,
    "text": _text,
    "deepen": _deepen,
    "swap": _swap,
    "insert": _insert,
}


def _other_value(value: Any, rng: random.Random) -> Any:
    made: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, 1, -1, 3.0, 0.5]),
        lambda: Raw(rng.choice(NUMBERS)),
        lambda: rng.choice(TEXTS),
        lambda: [],
        Pairs,
        lambda: [value],
        lambda: Pairs([["a", value]]),
        lambda: Raw(f'"{value}"') if isinstance(value, int | float) else str(value)[:99],
        lambda: [1] * rng.choice([1, 3, 1000]),
    ]
    return rng.choice(made)()


# ---- JSON within a file -------------------------------------------------------------------------


def edit_inside(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """`data` with some edits of the JSON in it: all of it, a line, or a safetensors header.

    Also returns what was done. Data without JSON come back as they are.
    """
    length = int.from_bytes(data[:8], "little")
    if 8 < length + 8 <= len(data):
        header, what = _edited(data[8 : 8 + length], rng)
        return len(header).to_bytes(8, "little") + header + data[8 + length :], f"header: {what}"
    lines = data.split(b"\n")
    if len(lines) > 2 and lines[0].endswith(b"}"):
        number = rng.randrange(len(lines))
        lines[number], what = _edited(lines[number], rng)
        return b"\n".join(lines), f"line {number + 1}: {what}"
    return _edited(data, rng)


def _edited(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The document with one to three edits; as it is where it cannot be parsed."""
    done = []
    try:
        node = parse(data)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            node, what = edit(node, rng)
            done.append(what)
        return render(node, ascii_only=rng.random() < 0.9), "; ".join(done)
    except (ValueError, RecursionError):
        return data, "nothing"
