"""Laying tokens against the text that they spell: which characters do each token's bytes cover.

The tokens' bytes are compared with the text's, never the tokenizer's own offsets, and every byte
must agree. Added tokens that were found in the raw text (`Token.verbatim`) divide it: what lies
between two of them was normalised by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from extract.text._scheme import Scheme
from extract.text._spelling import spellings
from extract.text._utf8 import Errors, character_of_byte, decode

_SHOWN = 30
"""Characters of either side that the message on a mismatch shows."""


class Token(NamedTuple):
    """What one token spells, whether as an added token taken from the raw text, and if special."""

    data: bytes
    verbatim: bool
    special: bool


@dataclass(frozen=True, slots=True)
class Cover:
    """The half-open range of characters that each token's bytes cover, [tokens].

    Neither `starts` nor `ends` ever decreases. A character whose bytes lie in several tokens is in
    the range of each; a token that spells nothing of the text has an empty range.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def cover_encoded(text: str, tokens: Sequence[Token], scheme: Scheme) -> Cover | None:
    """The cover of tokens just made from `text`; None where their bytes do not spell it."""
    return _cover(text, tokens, scheme, errors="strict")


def cover_stored(text: str, tokens: Sequence[Token], scheme: Scheme) -> Cover | None:
    """The cover of tokens stored beside `text`, which was decoded from them; None as above.

    Text may hide special tokens: none, some at the end, or all of them; the first of these that
    agrees is it. Bytes that are no UTF-8, as where a response ends inside a character, stand in
    the text as U+FFFD.
    """
    for hidden in _hidden(tokens):
        shown = [_NOTHING if i in hidden else token for i, token in enumerate(tokens)]
        found = _cover(text, shown, scheme, errors="replace")
        if found is not None:
            return found
    return None


def mismatch(text: str, tokens: Sequence[Token], scheme: Scheme, *, errors: str) -> str:
    """Where tokens that have no cover first differ from `text`, in words.

    `errors` says how bytes that are no UTF-8 are shown, as for `bytes.decode`.
    """
    spelled = b"".join(token.data for token in tokens).decode("utf-8", errors=errors)
    place, got, expected = 0, spelled, text
    for form in spellings(text, scheme):
        common = _common(spelled, form.text)
        start = int(form.starts[common]) if common < len(form.starts) else len(text)
        if start >= place:
            place, got, expected = start, spelled[common:], form.text[common:]
    return (
        f"from character {place:,} (of {len(text):,}, counted from 0) the tokens spell "
        f"{_shown(got)} and the text has {_shown(expected)}"
    )


_NOTHING = Token(b"", verbatim=False, special=False)


def _common(first: str, second: str) -> int:
    """How many characters the two have in common at their beginnings."""
    pairs = enumerate(zip(first, second, strict=False))
    different = (i for i, (one, other) in pairs if one != other)
    return next(different, min(len(first), len(second)))


def _shown(text: str) -> str:
    return f"{text[:_SHOWN]!a}{'…' if len(text) > _SHOWN else ''}" if text else "nothing more"


def _hidden(tokens: Sequence[Token]) -> Iterator[frozenset[int]]:
    """Sets of special tokens that a text may hide, the fewest first."""
    special = [i for i, token in enumerate(tokens) if token.special]
    trailing = len(list(takewhile(lambda token: token.special, reversed(tokens))))
    for count in range(trailing + 1):
        yield frozenset(range(len(tokens) - count, len(tokens)))
    if trailing < len(special):
        yield frozenset(special)


def _cover(text: str, tokens: Sequence[Token], scheme: Scheme, *, errors: Errors) -> Cover | None:
    data = b"".join(token.data for token in tokens)
    if data == text.encode():
        places = character_of_byte(data)
        found = places, places + 1
    else:
        walked = _walk(text, tokens, scheme, errors)
        if walked is None:
            return None
        found = walked
    lengths = np.fromiter((len(token.data) for token in tokens), np.int64, len(tokens))
    return _token_ranges(lengths, *found, len(text))


def _token_ranges(
    lengths: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], characters: int
) -> Cover:
    """From the ranges of bytes, `starts` and `ends`, to those of tokens of so many bytes."""
    last = np.cumsum(lengths)
    first = last - lengths
    token_starts = np.append(starts, characters)[first]
    token_ends = np.where(lengths > 0, np.append(ends, 0)[last - 1], token_starts)
    # Only a hidden token inside a character could end before the token before it does.
    return Cover(token_starts, np.maximum.accumulate(token_ends))


def _walk(
    text: str, tokens: Sequence[Token], scheme: Scheme, errors: Errors
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The first and one past the last character of each byte, stretch by stretch."""
    position = 0
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    for data, added in _stretches(tokens):
        decoded = decode(data, errors)
        if decoded is None:
            return None
        for stop in _stops(text, position, added):
            matched = _match(text[position:stop], *decoded, scheme)
            if matched is not None:
                break
        else:
            return None
        starts.append(position + matched[0])
        ends.append(position + matched[1])
        position = stop
        if added is not None:
            places = position + character_of_byte(added)
            starts.append(places)
            ends.append(places + 1)
            position += len(added.decode())
    return np.concatenate(starts), np.concatenate(ends)


def _stretches(tokens: Sequence[Token]) -> Iterator[tuple[bytes, bytes | None]]:
    """The bytes of ordinary tokens up to each verbatim token, with that; after the last, None."""
    run: list[bytes] = []
    for token in tokens:
        if token.verbatim:
            yield b"".join(run), token.data
            run = []
        else:
            run.append(token.data)
    yield b"".join(run), None


def _stops(text: str, position: int, added: bytes | None) -> Iterator[int]:
    """Where a stretch that begins at `position` may end: at the added token, or with the text."""
    if added is None:
        yield len(text)
        return
    content = added.decode()
    stop = text.find(content, position)
    while stop >= 0:
        yield stop
        stop = text.find(content, stop + 1)


def _match(
    stretch: str, spelled: str, character: NDArray[np.int64], scheme: Scheme
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """What each byte of the text `spelled` covers in the stretch, if it spells that.

    `character` is the place in `spelled` of each byte's character.
    """
    for form in spellings(stretch, scheme):
        if form.text == spelled:
            return form.starts[character], form.ends[character]
    return None
