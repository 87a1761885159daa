"""Edits of bytes, as disks, copies and downloads make them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from tests.mutation.json_edits import NUMBERS

_DIGITS = re.compile(rb"-?\d+")
_PIECES = (
    *(b"\0", b"\xff", b"\n", b"\r\n", b" ", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800", b"\\u0000"),
    *(b"\0" * 512, b"[" * 70, b"null", b"NaN", b"true", b"1e999", b"\xfd7zXZ\0", b"\x1f\x8b"),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
)


def edit(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """`data` with one edit, and what was done."""
    name = rng.choice(list(_EDITS))
    changed, what = _EDITS[name](data, rng)
    return changed, f"{name} {what}"


def _place(data: bytes, rng: random.Random) -> int:
    """Anywhere, but half of the time within the first bytes, where headers are."""
    return rng.randint(0, min(len(data), 400) if rng.random() < 0.5 else len(data))


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data), start + rng.choice([1, 2, 8, 64, 512, len(data)]))


def _flip(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    if not data:
        return b"\0", "nothing"
    changed = bytearray(data)
    bits = [
        (min(_place(data, rng), len(data) - 1), rng.randrange(8))
        for _ in range(rng.choice([1, 1, 1, 4]))
    ]
    for place, bit in bits:
        changed[place] ^= 1 << bit
    return bytes(changed), f"bits {bits}"


def _overwrite(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    start, end = _span(data, rng)
    value = rng.choice([b"\0", b"\xff", b" ", b"0", bytes([rng.randrange(256)])])
    return data[:start] + value * (end - start) + data[end:], f"[{start}, {end}) by {value!r}"


def _truncate(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    kept = rng.choice([len(data) - 1, len(data) // 2, 8, 5, 0, _place(data, rng)])
    return data[: max(0, kept)], f"to {kept}"


def _insert(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    place = _place(data, rng)
    piece = rng.choice([*_PIECES, rng.randbytes(rng.choice([1, 4, 100]))])
    return data[:place] + piece + data[place:], f"{piece[:20]!r} at {place}"


def _append(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    piece = rng.choice([*_PIECES, data])
    return data + piece, f"{piece[:20]!r}"


def _repeat(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    start, end = _span(data, rng)
    times = rng.choice([1, 1, 2, 30])
    return data[:end] + data[start:end] * times + data[end:], f"[{start}, {end}) {times} times"


def _cut(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    start, end = _span(data, rng)
    return data[:start] + data[end:], f"[{start}, {end})"


def _exchange(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    (a, b), (c, d) = sorted([_span(data, rng), _span(data, rng)])
    b = min(b, c)
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:], f"[{a}, {b}) and [{c}, {d})"


def _digits(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A number in text becomes another one."""
    found = list(_DIGITS.finditer(data[:100_000]))
    if not found:
        return _insert(data, rng)
    number, new = rng.choice(found), rng.choice(NUMBERS).encode()
    return data[: number.start()] + new + data[number.end() :], f"at {number.start()} {new[:40]!r}"


_EDITS: dict[str, Callable[[bytes, random.Random], tuple[bytes, str]]] = {
    "flip": _flip,
    "overwrite": _overwrite,
    "truncate": _truncate,
    "insert": _insert,
    "append": _append,
    "repeat": _repeat,
    "cut": _cut,
    "exchange": _exchange,
    "digits": _digits,
}
