"""Bytes and the characters that they belong to."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Errors: TypeAlias = Literal["strict", "replace"]


def character_of_byte(data: bytes) -> NDArray[np.int64]:
    """For each byte of valid UTF-8 the place of its character: [len(data)]."""
    raw = np.frombuffer(data, dtype=np.uint8)
    return np.cumsum((raw & 0xC0) != 0x80, dtype=np.int64) - 1


def decode(data: bytes, errors: Errors) -> tuple[str, NDArray[np.int64]] | None:
    """The text of bytes, and the place in it of each byte's character.

    Bytes that are no UTF-8 give None, or become U+FFFD as every decoder makes it: one for each
    longest beginning of a character.
    """
    parts: list[str] = []
    places: list[NDArray[np.int64]] = []
    done = 0  # characters
    while True:
        try:
            text = data.decode("utf-8")
            end = bad = len(data)
        except UnicodeDecodeError as error:
            if errors == "strict":
                return None
            text, bad, end = data[: error.start].decode("utf-8"), error.start, error.end
        places.append(done + character_of_byte(data[:bad]))
        parts.append(text)
        done += len(text)
        if end == bad:
            return "".join(parts), np.concatenate(places)
        places.append(np.full(end - bad, done))
        parts.append("\ufffd")
        done += 1
        data = data[end:]
