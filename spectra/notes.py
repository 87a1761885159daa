"""Labels as they are read, and what is legal in an index but worth a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spectra.json_fields import show

if TYPE_CHECKING:
    from spectra.artifacts import Step

_SEGMENTS = {
    "thought": "thought",
    "thinking": "thought",
    "think": "thought",
    "solution": "solution",
}
_SHOWN = 5


class Notes:
    """Collects counts while the steps are read; `sentences` tells them at the end.

    Labels are normalised once per distinct text, so that all steps share one string.
    `overlapping` counts the steps that overlap an earlier one of their sample.
    """

    def __init__(self) -> None:
        self._categories: dict[str, str | None] = {}
        self._unknown_segments: Counter[str] = Counter()
        self._empty = 0
        self.overlapping = 0
        self._first_overlap = ""

    def segment(self, label: str) -> str | None:
        """Any case of `thinking` and `think` as "thought"; None for what is no segment."""
        known = _SEGMENTS.get(label) or _SEGMENTS.get(" ".join(label.split()).casefold())
        if known is None and label.strip():
            self._unknown_segments[label] += 1
        return known

    def category(self, label: str) -> str | None:
        """The label with runs of white space as one blank, or None where nothing is left."""
        if label not in self._categories:
            self._categories[label] = " ".join(label.split()) or None
        return self._categories[label]

    def steps(self, sample_id: str, steps: Sequence[Step]) -> None:
        """Count the empty steps of one sample, and those that overlap an earlier one."""
        end, disordered = 0, False
        for step in steps:
            disordered |= step.token_start < end
            end = step.token_end
            self._empty += step.token_start == end
        if disordered:
            self._overlaps(sample_id, steps)

    def _overlaps(self, sample_id: str, steps: Sequence[Step]) -> None:
        end, before = 0, -1
        order = sorted(range(len(steps)), key=lambda i: (steps[i].token_start, steps[i].token_end))
        for number in order:
            step = steps[number]
            if step.token_start == step.token_end:
                continue
            if step.token_start < end:
                self.overlapping += 1
                self._first_overlap = self._first_overlap or (
                    f"steps {min(before, number)} and {max(before, number)} of sample "
                    f"{show(sample_id)}"
                )
            if step.token_end > end:
                end, before = step.token_end, number

    def sentences(self, where: str, *, uncovered: int, num_tokens: int) -> tuple[str, ...]:
        """The warnings, one sentence for each kind that occurred."""
        found = []
        if self.overlapping:
            found.append(
                f"{where}: steps that overlap an earlier step of their sample: {self.overlapping} "
                f"(first: {self._first_overlap}); a token in two steps counts in both."
            )
        if self._empty:
            found.append(f"{where}: empty steps, which give no row to any pool: {self._empty}.")
        if self._unknown_segments:
            found.append(
                f"{where}: {self._unknown_segments.total()} steps have a segment other than "
                f"thought or solution and count in no segment: {self._labels()}."
            )
        if uncovered:
            found.append(
                f"{where}: {uncovered} of {num_tokens} rows belong to no sample and are not used."
            )
        return tuple(found)

    def _labels(self) -> str:
        shown = [f"{show(k)} ({n})" for k, n in self._unknown_segments.most_common(_SHOWN)]
        rest = len(self._unknown_segments) - len(shown)
        return ", ".join(shown) + (f" and {rest} more" if rest else "")
