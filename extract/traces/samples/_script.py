"""A trace while it is being written: sentences with their categories, thought first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extract.traces._trace import NO_FIELDS, TraceStep
from extract.traces.samples._draw import Draw

SETUP = "problem_setup"
PLAN = "plan_generation"
FACT = "fact_retrieval"
COMPUTE = "active_computation"
DOUBT = "uncertainty_management"
CHECK = "self_checking"
SUM_UP = "result_consolidation"
ANSWER = "final_answer_emission"

SLIP = "slip"
"""The field of a step that states something wrong, which a later step mends."""


@dataclass(frozen=True, slots=True)
class _Line:
    segment: str
    category: str
    text: str
    slip: bool
    gap: str


class Script:
    """Collects steps; `draw` chooses among their wordings.

    `think` and `tell` take one wording or several of the same content, all of them true (or, for a
    slip, all wrong in the same way).
    """

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self._lines: list[_Line] = []
        self._gap = " "
        self._decks: dict[tuple[str, ...], list[str]] = {}

    def think(self, category: str, *wordings: str, slip: bool = False) -> None:
        """Add a step of the thought."""
        self._add("thought", category, wordings, slip)

    def tell(self, category: str, *wordings: str) -> None:
        """Add a step of the solution."""
        self._add("solution", category, wordings, False)

    def paragraph(self) -> None:
        """Let the next step begin a paragraph."""
        self._gap = "\n\n"

    def line(self) -> None:
        """Let the next step begin a line."""
        self._gap = "\n"

    def phrase(self, phrases: tuple[str, ...]) -> str:
        """One of `phrases`, not one that was had before while others are left."""
        deck = self._decks.get(phrases) or self.draw.shuffled(phrases)
        self._decks[phrases] = deck[1:]
        return deck[0]

    def written(self) -> tuple[str, tuple[TraceStep, ...]]:
        """The response, thinking markup included, and the steps' spans in it."""
        text, steps = "<think>\n", []
        for number, line in enumerate(self._lines):
            before = self._lines[number - 1] if number else line
            if before.segment != line.segment:
                text += "\n</think>\n\n"
            elif number:
                text += line.gap
            extra = {SLIP: True} if line.slip else NO_FIELDS
            end = len(text) + len(line.text)
            steps.append(TraceStep(len(text), end, line.segment, line.category, extra))
            text += line.text
        return text, tuple(steps)

    def _add(self, segment: str, category: str, wordings: Sequence[str], slip: bool) -> None:
        text = self.draw.pick(wordings)
        self._lines.append(_Line(segment, category, text, slip, self._gap))
        self._gap = " "
