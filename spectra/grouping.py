"""Which group each row belongs to: segment x category x depth bin are the atoms of all groups.

Groups are unions of disjoint atoms, so every row is read and multiplied once however many groups
hold it. Everything here follows from the index alone, before any state is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

SEGMENTS = ("thought", "solution")
"""The two segments that have groups; a step may also have none."""

DepthMode = Literal["step", "token"]
Ints = NDArray[np.int64]


class StepLike(Protocol):
    """What grouping reads of a step (`spectra.artifacts.Step`)."""

    @property
    def global_start(self) -> int:
        """First global token row."""
        ...

    @property
    def global_end(self) -> int:
        """End of the global token rows."""
        ...

    @property
    def segment(self) -> str | None:
        """thought, solution or None."""
        ...

    @property
    def category(self) -> str | None:
        """The label."""
        ...


class SampleLike(Protocol):
    """What grouping reads of a sample (`spectra.artifacts.Sample`)."""

    @property
    def steps(self) -> Sequence[StepLike]:
        """The steps in order."""
        ...


class CategoryNames(Protocol):
    """What grouping reads of a category map (`spectra.categories.CategoryMap`)."""

    def macro(self, label: str | None) -> str:
        """The macro category of a label."""
        ...


@dataclass(frozen=True, slots=True)
class Steps:
    """All steps of an index as columns [S], in index order, empty ones included.

    Attributes:
        start, stop: global token rows, half-open.
        segment: 0 thought, 1 solution, 2 none.
        category: position in `categories`.
        trace: number of the sample.
        position, siblings: the step's place (0-based) in its trace, and the trace's number of
            steps.
        categories: macro category names, sorted.
    """

    start: Ints
    stop: Ints
    segment: Ints
    category: Ints
    trace: Ints
    position: Ints
    siblings: Ints
    categories: tuple[str, ...]

    @property
    def num_traces(self) -> int:
        """Number of traces, up to the last that has steps."""
        return int(self.trace.max(initial=-1)) + 1

    @property
    def length(self) -> Ints:
        """Tokens a step, [S]."""
        return self.stop - self.start

    @classmethod
    def of(cls, samples: Sequence[SampleLike], names: CategoryNames) -> Steps:
        """The columns of an index's samples, with labels mapped to macro categories."""
        macros: dict[str | None, str] = {}
        for sample in samples:
            for step in sample.steps:
                if step.category not in macros:
                    macros[step.category] = names.macro(step.category)
        categories = tuple(sorted(set(macros.values())))
        place = {macro: number for number, macro in enumerate(categories)}
        code = {label: place[macro] for label, macro in macros.items()}
        segment_code = {"thought": 0, "solution": 1, None: 2}
        entries = (
            entry
            for trace, sample in enumerate(samples)
            for n in (len(sample.steps),)
            for i, s in enumerate(sample.steps)
            for entry in (
                *(s.global_start, s.global_end),
                *(segment_code[s.segment], code[s.category], trace, i, n),
            )
        )
        # Filled value by value: half a million steps as tuples would take a hundred megabytes.
        table = np.fromiter(entries, np.int64).reshape(-1, 7)
        start, stop, segment, category, trace, position, siblings = np.ascontiguousarray(table.T)
        return cls(start, stop, segment, category, trace, position, siblings, categories)


@dataclass(frozen=True, slots=True)
class Group:
    """One cell of the output: a kind of group, and which labels its rows carry (None: any).

    `kind` is "global", "segment", "category", "segment_category", or one of "bin", "segment_bin",
    "category_bin".
    """

    kind: str
    segment: str | None = None
    category: str | None = None
    bin: int | None = None


@dataclass(frozen=True, slots=True)
class Atoms:
    """The grid of atoms [categories, 3 segments, bins], and which atoms make up a group."""

    categories: tuple[str, ...]
    num_bins: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of categories, segments (with "none" last) and bins."""
        return len(self.categories), len(SEGMENTS) + 1, self.num_bins

    @property
    def count(self) -> int:
        """Number of atoms."""
        return int(np.prod(self.shape))

    def code(self, category: Ints, segment: Ints, depth_bin: Ints) -> Ints:
        """The atom's number for each row; atoms of one category are neighbours."""
        _, segments, bins = self.shape
        return (category * segments + segment) * bins + depth_bin

    def cells(self, group: Group) -> tuple[slice, slice, slice]:
        """The box of the grid that makes up a group."""

        def along(position: int | None) -> slice:
            return slice(None) if position is None else slice(position, position + 1)

        return (
            along(None if group.category is None else self.categories.index(group.category)),
            along(None if group.segment is None else SEGMENTS.index(group.segment)),
            along(group.bin),
        )

    def mask(self, group: Group) -> NDArray[np.bool_]:
        """[count] whether each atom is part of the group."""
        grid = np.zeros(self.shape, dtype=bool)
        grid[self.cells(group)] = True
        return grid.ravel()

    def across_categories(self) -> Iterator[NDArray[np.bool_]]:
        """[count] masks of what is added up over categories: segments (and none), bins, both."""
        _, segments, bins = self.shape
        for segment in (slice(None), *range(segments)):
            for depth_bin in (slice(None), *range(bins)):
                grid = np.zeros(self.shape, dtype=bool)
                grid[:, segment, depth_bin] = True
                yield grid.ravel()

    def basic_groups(self) -> list[Group]:
        """Global, segments, categories and their crossings, in file order."""
        return [
            Group("global"),
            *(Group("segment", segment) for segment in SEGMENTS),
            *(Group("category", None, category) for category in self.categories),
            *(
                Group("segment_category", segment, category)
                for segment in SEGMENTS
                for category in self.categories
            ),
        ]

    def depth_groups(self) -> list[Group]:
        """Depth bins of all rows, of each segment and of each category, in file order."""
        bins = range(self.num_bins)
        return [
            *(Group("bin", None, None, b) for b in bins),
            *(Group("segment_bin", segment, None, b) for segment in SEGMENTS for b in bins),
            *(Group("category_bin", None, c, b) for c in self.categories for b in bins),
        ]

    def sweep_groups(self) -> list[Group]:
        """The groups compared at matched counts: global, segments, categories."""
        return [g for g in self.basic_groups() if g.kind != "segment_category"]


def step_bins(position: Ints, siblings: Ints, num_bins: int) -> Ints:
    """Depth bin of step i of S: floor(B (i + 1/2) / S), in integers."""
    return (2 * position + 1) * num_bins // (2 * siblings)
