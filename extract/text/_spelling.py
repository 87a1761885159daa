"""Text as tokens spell it, each spelled character knowing the characters it stands for.

Normalisation is local: almost everywhere a text can be cut in two so that the normal forms of the
sides, put together, are the normal form of the whole. Those cuts divide the text into *units*, the
smallest stretches that can be told apart after normalisation: mostly one character, else a base
with the marks that are composed with it or reordered after it. The characters of a unit that
normalisation changes stand, all of them, for each of its normalised characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from extract.text._scheme import SPACE_MARK, Scheme


@dataclass(frozen=True, slots=True)
class Spelling:
    """A stretch of text as a tokenizer may spell it.

    Attributes:
        text: The spelled characters.
        starts: For each of them the first character of the stretch that it stands for, [n].
        ends: One past the last such character, [n]; both never decrease. A prefix that the
            tokenizer put in stands for no character: its start is its end.
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def spellings(stretch: str, scheme: Scheme) -> Iterator[Spelling]:
    """The ways in which the tokens of `stretch` may spell it, the plainest first."""
    forms = [_as_it_is(stretch)]
    if scheme.normalize is not None and scheme.normalize(stretch) != stretch:
        forms.append(_normalised(stretch, scheme.normalize))
    if not scheme.byte_level:
        forms = [Spelling(f.text.replace(" ", SPACE_MARK), f.starts, f.ends) for f in forms]
    yield from forms
    if scheme.prefix:
        for form in forms:
            yield _prefixed(form, scheme.prefix)


def _as_it_is(stretch: str) -> Spelling:
    places = np.arange(len(stretch))
    return Spelling(stretch, places, places + 1)


def _prefixed(form: Spelling, prefix: str) -> Spelling:
    nothing = np.zeros(len(prefix), dtype=np.int64)
    return Spelling(
        prefix + form.text,
        np.concatenate([nothing, form.starts]),
        np.concatenate([nothing, form.ends]),
    )


def _normalised(stretch: str, normalize: Callable[[str], str]) -> Spelling:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _units(stretch, normalize):
        part = normalize(stretch[start:end])
        parts.append(part)
        starts += [start] * len(part)
        ends += [end] * len(part)
    return Spelling("".join(parts), np.array(starts, np.int64), np.array(ends, np.int64))


def _units(stretch: str, normalize: Callable[[str], str]) -> Iterator[tuple[int, int]]:
    """The units of a stretch, half-open, by the definition of a cut.

    The definition compares whole texts, so it is applied inside short blocks: from one character
    that nothing before it can reach to the next one.
    """
    blocks = [i for i, char in enumerate(stretch) if i == 0 or _begins_block(char)]
    for start, end in zip(blocks, [*blocks[1:], len(stretch)], strict=True):
        cuts = [start + i for i in _cuts(stretch[start:end], normalize)]
        yield from zip([start, *cuts], [*cuts, end], strict=True)


def _cuts(block: str, normalize: Callable[[str], str]) -> Iterable[int]:
    whole = normalize(block)
    inner = range(1, len(block))
    if whole == block:  # any stretch of normal text is normal
        return inner
    return [i for i in inner if normalize(block[:i]) + normalize(block[i:]) == whole]


@cache
def _begins_block(char: str) -> bool:
    """Whether normalisation can neither move nor join `char` with what stands before it.

    Never so for characters that this Python's Unicode tables do not know yet.
    """
    if char.isascii():
        return True
    first = unicodedata.normalize("NFD", char)[0]
    return (
        unicodedata.combining(first) == 0
        and first not in _second_halves()
        and unicodedata.category(char) != "Cn"
    )


@cache
def _second_halves() -> frozenset[str]:
    """The characters that can be composed with one before them: the seconds of all pairs."""
    jamo = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    codes = (
        unicodedata.decomposition(chr(code)).split()
        for code in range(0x30000)  # no character beyond these planes has a decomposition
    )
    return frozenset(jamo | {chr(int(pair[1], 16)) for pair in codes if _is_pair(pair)})


def _is_pair(decomposition: list[str]) -> bool:
    return len(decomposition) == 2 and not decomposition[0].startswith("<")
