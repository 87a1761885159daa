"""Groups from atoms: each group is added up once from its parts, as rows or as moments.

Parts form a small tree (atoms -> segment x category, segment x bin, category x bin -> category,
segment, bin -> global), walked one category after the other so that only sums across categories
outlive it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from spectra.backend import Backend, Sums
from spectra.engine.collect import Collector
from spectra.engine.plan import PoolPlan
from spectra.grouping import SEGMENTS, Group, Ints
from spectra.linalg import F64

Part = Sums | Ints
"""A set of rows: as moments, or as the numbers of stored rows."""

CHUNK = 4096


class Gather:
    """Adds parts up: into row numbers while the whole has at most d rows, else into moments."""

    def __init__(self, total_rows: int, tree: Tree) -> None:
        """A set that will have `total_rows` rows."""
        self._large = total_rows > tree.plan.dim
        self._tree = tree
        self._numbers: list[Ints] = []
        self._sums: Sums | None = None

    def add(self, part: Part, collector: Collector) -> None:
        """Add one part; stored rows that must become moments are read from the collector now."""
        if not self._large:
            assert not isinstance(part, Sums), "a part cannot have more rows than the whole"
            self._numbers.append(part)
            return
        backend = self._tree.backend
        sums = backend.zeros(self._tree.plan.dim) if self._sums is None else self._sums
        if isinstance(part, Sums):
            sums = backend.merge(sums, part)
        else:
            for start in range(0, len(part), CHUNK):
                rows = collector.rows(part[start : start + CHUNK])
                sums = backend.accumulate(sums, rows, self._tree.shift)
        self._sums = sums

    def part(self) -> Part:
        """The whole."""
        if self._sums is not None:
            return self._sums
        return np.concatenate(self._numbers) if self._numbers else np.empty(0, np.int64)


Emit = Callable[[Group, Part, Collector], None]


class Tree:
    """Walks one pool's atoms and emits every group with its rows or moments."""

    def __init__(self, plan: PoolPlan, shift: F64, backend: Backend, emit: Emit) -> None:
        """Groups are handed to `emit` as soon as they are whole; its part is read-only."""
        self.plan, self.shift, self.backend, self._emit = plan, shift, backend, emit
        self._sizes = plan.atom_rows.reshape(plan.rows.atoms.shape)
        _, segments, bins = plan.rows.atoms.shape
        self._segments = [self._gather(np.s_[:, s, :]) for s in range(segments)]
        self._segment_bins = [
            [self._gather(np.s_[:, s, b]) for b in range(bins)] for s in range(segments)
        ]

    def category(self, c: int, collector: Collector, numbers: dict[int, Ints]) -> None:
        """Add one category's atoms; `numbers` are the row numbers of each atom kept as rows."""
        name = self.plan.rows.atoms.categories[c]
        _, segments, bins = self.plan.rows.atoms.shape
        whole = self._gather(np.s_[c])
        in_bins = [self._gather(np.s_[c, :, b]) for b in range(bins)]
        for s in range(segments):
            in_segment = self._gather(np.s_[c, s, :])
            for b, part in self._atoms(c, s, collector, numbers):
                for gather in (in_segment, in_bins[b], self._segment_bins[s][b]):
                    gather.add(part, collector)
            part = in_segment.part()
            if s < len(SEGMENTS):
                self._emit(Group("segment_category", SEGMENTS[s], name), part, collector)
            if self._sizes[c, s].any():
                whole.add(part, collector)
                self._segments[s].add(part, collector)
        self._emit(Group("category", None, name), whole.part(), collector)
        for b, gather in enumerate(in_bins):
            self._emit(Group("category_bin", None, name, b), gather.part(), collector)

    def finish(self, collector: Collector) -> None:
        """Emit the groups across categories, after the last category."""
        _, segments, bins = self.plan.rows.atoms.shape
        for b in range(bins):
            parts = [self._segment_bins[s][b].part() for s in range(segments)]
            self._emit(
                Group("bin", None, None, b),
                self._union(np.s_[:, :, b], parts, collector),
                collector,
            )
            for s, segment in enumerate(SEGMENTS):
                self._emit(Group("segment_bin", segment, None, b), parts[s], collector)
        parts = [gather.part() for gather in self._segments]
        for s, segment in enumerate(SEGMENTS):
            self._emit(Group("segment", segment), parts[s], collector)
        self._emit(Group("global"), self._union(np.s_[:, :, :], parts, collector), collector)

    def _gather(self, cells: Any) -> Gather:
        return Gather(int(self._sizes[cells].sum()), self)

    def _union(self, cells: Any, parts: Iterable[Part], collector: Collector) -> Part:
        gather = self._gather(cells)
        for part in parts:
            if isinstance(part, Sums) or len(part):
                gather.add(part, collector)
        return gather.part()

    def _atoms(
        self, c: int, s: int, collector: Collector, numbers: dict[int, Ints]
    ) -> Iterator[tuple[int, Part]]:
        _, segments, bins = self.plan.rows.atoms.shape
        for b in range(bins):
            atom = (c * segments + s) * bins + b
            if atom in collector.moments:
                yield b, collector.moments.pop(atom)
            elif self._sizes[c, s, b]:
                yield b, numbers[atom]
