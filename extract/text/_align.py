"""Steps, which are spans of characters, as ranges of tokens.

A token belongs to the step that holds its first non-blank character. A token of blanks alone goes
where the token directly before it went, so blanks between two steps belong to the first of them.
A token that covers nothing (a hidden end-of-text) belongs to no step, nor do blanks after it,
unless tokens of one and the same step surround them.

The tokens of a step are always one contiguous range: first non-blank characters never go backward
from token to token and a step's characters are contiguous, so between two tokens of a step stand
only tokens of that step, blanks that follow them, and tokens that cover nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NONE = -1
"""The owner of a token, or of a character, that is in no step."""

_LAST_BLANK = 0x3000  # U+3000, the ideographic space: no character beyond it is a blank
_BLANK = np.array([chr(code).isspace() for code in range(_LAST_BLANK + 1)] + [False])


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What the alignment of a sample could not keep exactly.

    Attributes:
        response_tokens: Tokens of the response.
        unassigned_tokens: Those of them that are in no step.
        empty_steps: The steps that have no token, by their place among the steps.
        empty_steps_with_text: Those of them that have a non-blank character.
        borders_inside_tokens: Places where a step begins or ends inside a token.
        step_characters: Non-blank characters of steps.
        characters_in_other_steps: Those of them that begin in a token of another step.
        characters_in_no_step: Those of them that begin in a token of no step. All others begin in
            a token of their own step.
        dropped_think: Whether the rendered prompt's final `<think>` was dropped because the
            response begins with one.
    """

    response_tokens: int
    unassigned_tokens: int
    empty_steps: tuple[int, ...]
    empty_steps_with_text: tuple[int, ...]
    borders_inside_tokens: int
    step_characters: int
    characters_in_other_steps: int
    characters_in_no_step: int
    dropped_think: bool = False


def align(
    text: str,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    spans: NDArray[np.int64],
) -> tuple[NDArray[np.int64], AlignmentReport]:
    """The token range of each step, half-open, [steps, 2], and what was not exact.

    An empty range stands at the end of the nearest step before it that has tokens, or at 0.

    Args:
        text: The response.
        starts: The first character that each token covers, [n], never decreasing.
        ends: One past the last one, [n], never decreasing; every character is covered.
        spans: The steps' characters, half-open, [steps, 2], sorted; they share no character, but
            an empty one may stand inside another.
    """
    solid = np.flatnonzero(~_blanks(text))
    owner = _owners(starts, ends, solid, spans)
    ranges, filled = _ranges(owner, len(spans))
    written = np.searchsorted(solid, spans[:, 1]) > np.searchsorted(solid, spans[:, 0])
    own = _steps_of(solid, spans)
    in_steps = own != _NONE
    # The first token that ends beyond a character is the one that the character begins in.
    holder = owner[np.searchsorted(ends, solid[in_steps], side="right")]
    report = AlignmentReport(
        response_tokens=len(starts),
        unassigned_tokens=len(starts) - int(np.sum(ranges[:, 1] - ranges[:, 0])),
        empty_steps=tuple(np.flatnonzero(~filled).tolist()),
        empty_steps_with_text=tuple(np.flatnonzero(~filled & written).tolist()),
        borders_inside_tokens=_borders_inside(starts, ends, spans),
        step_characters=int(in_steps.sum()),
        characters_in_other_steps=int(np.sum((holder != own[in_steps]) & (holder != _NONE))),
        characters_in_no_step=int(np.sum(holder == _NONE)),
    )
    return ranges, report


def _blanks(text: str) -> NDArray[np.bool_]:
    """Which characters `str.isspace` calls blank, [len(text)]."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    found: NDArray[np.bool_] = _BLANK[np.minimum(codes, _LAST_BLANK + 1)]
    return found


def _owners(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    solid: NDArray[np.int64],
    spans: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The step of each token, or -1, [n]."""
    beyond = np.iinfo(np.int64).max
    first_solid = np.append(solid, beyond)[np.searchsorted(solid, starts)]
    has_solid = first_solid < ends
    owner = np.where(has_solid, _steps_of(first_solid, spans), _NONE)
    follows = (ends > starts) & ~has_solid
    # The nearest token at or before each that does not follow the one before it.
    leader = np.maximum.accumulate(np.where(follows, -1, np.arange(len(starts))))
    return np.where(leader >= 0, owner[leader], _NONE)


def _steps_of(characters: NDArray[np.int64], spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """The step that holds each character, or -1, [characters]."""
    places = np.flatnonzero(spans[:, 1] > spans[:, 0])
    if not len(places):
        return np.full(len(characters), _NONE)
    begins, stops = spans[places].T
    before = np.searchsorted(begins, characters, side="right") - 1
    inside = (before >= 0) & (characters < stops[before])
    return np.where(inside, places[before], _NONE)


def _ranges(owner: NDArray[np.int64], steps: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Each step's token range, [steps, 2], and whether it has any token, [steps]."""
    tokens = np.flatnonzero(owner != _NONE)
    first = np.searchsorted(owner[tokens], np.arange(steps), side="left")
    last = np.searchsorted(owner[tokens], np.arange(steps), side="right")
    filled = last > first
    ends = np.maximum.accumulate(np.where(filled, np.append(tokens, -1)[last - 1] + 1, 0))
    return np.stack([np.where(filled, np.append(tokens, -1)[first], ends), ends], axis=1), filled


def _borders_inside(
    starts: NDArray[np.int64], ends: NDArray[np.int64], spans: NDArray[np.int64]
) -> int:
    borders = np.unique(spans)
    token = np.searchsorted(starts, borders, side="left") - 1
    inside = (token >= 0) & (np.append(ends, 0)[token] > borders)
    return int(inside.sum())
