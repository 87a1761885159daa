"""The row counts at which all groups of a kind can be compared.

Spectral statistics grow with the rows, so groups of different sizes cannot be held side by side.
The groups of a kind that have enough rows share a count: the size of the smallest of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spectra.grouping import Group
from spectra.sampling import LARGEST_COUNT, SMALLEST_COUNT

MOST: Mapping[str, int] = {
    "segment": LARGEST_COUNT,
    "category": LARGEST_COUNT,
    "segment_category": 512,
    "bin": 256,
    "segment_bin": 256,
    "category_bin": 256,
}
"""Kinds of groups that are compared, in file order, and the rows of a subsample at most: what is
drawn is kept, and of segments by categories and of bins there are many."""


@dataclass(frozen=True, slots=True)
class Matched:
    """What the groups of a kind share.

    Attributes:
        kind: of `MOST`.
        count: rows of each subsample; None where fewer than two groups have enough rows.
        groups: those with at least `SMALLEST_COUNT` rows, in file order.
        left_out: the other ones that have rows, in file order.
        sizes: the rows of each group of either.
    """

    kind: str
    count: int | None
    groups: tuple[Group, ...]
    left_out: tuple[Group, ...]
    sizes: Mapping[Group, int]


def matched_kinds(sizes: Mapping[Group, int]) -> tuple[Matched, ...]:
    """The comparisons that groups of these sizes allow."""
    return tuple(
        _matched(kind, most, [group for group in sizes if group.kind == kind], sizes)
        for kind, most in MOST.items()
    )


def counts_of(matched: Iterable[Matched]) -> dict[Group, int]:
    """The count at which each group is compared."""
    return {group: one.count for one in matched if one.count is not None for group in one.groups}


def _matched(kind: str, most: int, groups: list[Group], sizes: Mapping[Group, int]) -> Matched:
    filled = [group for group in groups if sizes[group]]
    enough = tuple(group for group in filled if sizes[group] >= SMALLEST_COUNT)
    count = min(most, *(sizes[group] for group in enough)) if len(enough) > 1 else None
    rest = tuple(group for group in filled if sizes[group] < SMALLEST_COUNT)
    return Matched(kind, count, enough, rest, {group: sizes[group] for group in filled})
