"""A category map: labels to macro categories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UNLABELLED = "unlabelled"
"""The macro category of a step without a label."""

_SEPARATORS = re.compile(r"[\s_-]+")


def fold(label: str) -> str:
    """The form in which labels are compared: `Final Answer`, `final_answer`, `FINAL-answer`."""
    return _SEPARATORS.sub(" ", label).strip().casefold()


@dataclass(frozen=True, slots=True)
class CategoryMap:
    """Labels and the macro category of each; a map without labels is the identity.

    `source` says where the taxonomy is published. Labels are matched by `fold`; two that fold to
    one must have one macro category, which the reader of map files checks.
    """

    name: str
    source: str
    labels: Mapping[str, str]
    _folded: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folded = {fold(label): macro for label, macro in self.labels.items()}
        object.__setattr__(self, "_folded", folded)

    def macro(self, label: str | None) -> str:
        """The macro category: "unlabelled" for None, the label itself where it is not mapped."""
        if label is None:
            return UNLABELLED
        return self._folded.get(fold(label), label)

    def unmapped(self, labels: Iterable[str | None]) -> tuple[str, ...]:
        """Those of `labels`, sorted and once each, that keep their own name for want of another."""
        if not self.labels:
            return ()
        return tuple(sorted({x for x in labels if x is not None and fold(x) not in self._folded}))


IDENTITY = CategoryMap("identity", "every label is its own category", {})
