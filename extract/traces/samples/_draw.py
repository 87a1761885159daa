"""Chance that is the same everywhere: its numbers depend on the seed and on nothing else.

The standard library promises that of `Random.random` alone, not of its choices and ranges, so this
is a generator of its own: splitmix64 (Steele, Lea, Flood 2014), on integers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_MASK = 2**64 - 1


class Draw:
    """A stream of choices, fixed by `keys`."""

    def __init__(self, *keys: int) -> None:
        self._state = 0
        for key in keys:
            self._state = (self._next() ^ key) & _MASK

    def below(self, bound: int) -> int:
        """An integer from 0 to `bound` - 1."""
        return (self._next() * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[_Item]) -> _Item:
        """One of `items`."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """All of `items`, in some order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]

    def often(self, share: int, of: int) -> bool:
        """True with the chance `share` / `of`."""
        return self.below(of) < share

    def _next(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)
