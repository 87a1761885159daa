"""A problem of a family: what is asked, what the answer is, and how a thinker gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from extract.traces.samples._draw import Draw
from extract.traces.samples._script import Script


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; `solve` writes one way of thinking it through, as the script's draw has it.

    Attributes:
        key: Names the family and the numbers: the same key, the same problem.
        question: What the user asks.
        answer: The answer, computed.
        solve: Writes the steps of thought and solution.
    """

    key: str
    question: str
    answer: str
    solve: Callable[[Script], None]


Family = Callable[[Draw], Problem]
"""Draws a problem."""
