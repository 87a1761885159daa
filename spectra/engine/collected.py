"""What was collected of a share of a pool's rows, as arrays that can be kept, sent and added up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Mode, Sums
from spectra.engine.energies import Energy
from spectra.engine.share import Share
from spectra.grouping import Ints
from spectra.linalg import F64

CHUNK = 1024
"""Rows that are looked up at a time."""


class Array(Protocol):
    """What NumPy's arrays have, and arrays that are read or made a slice at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[k, ...]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""
        ...

    def __getitem__(self, some: slice, /) -> NDArray[Any]:
        """A run of the k."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """An array of this shape, made a slice [start, stop) at a time."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    make: Callable[[int, int], NDArray[Any]]

    def __getitem__(self, some: slice, /) -> NDArray[Any]:
        start, stop, _ = some.indices(self.shape[0])
        return self.make(start, stop)


@dataclass(frozen=True, slots=True)
class Form:
    """The dtype and shape of an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def forms(share: Share, stored: np.dtype[Any], mode: Mode) -> dict[str, Form]:
    """The arrays of a share, by name, before anything is collected.

    `stored` is the type of the states; a `mode` that is fast has pairs for moments. They are

    rows: those kept as rows, in the order of `share.stored`;
    totals, grams: the moments of `share.atoms`, of Gram matrices the lower triangle by columns;
    sums, squares, largest, where: their energies, if the plan diagnoses;
    means: sums over the tokens here of each mean of `share.crossing`.
    """
    dim, atoms, wide = share.plan.dim, len(share.atoms), np.dtype(np.float64)
    moments, pair = (wide, ()) if mode == "exact" else (np.dtype(np.float32), (2,))
    found = {
        "rows": Form(wide if share.plan.rows.pool == "mean" else stored, (len(share.stored), dim)),
        "totals": Form(moments, (atoms, *pair, dim)),
        "grams": Form(moments, (atoms, *pair, dim * (dim + 1) // 2)),
        "means": Form(wide, (len(share.crossing), dim)),
    }
    if share.plan.diagnoses:
        found |= {name: Form(wide, (atoms, dim)) for name in ("sums", "squares")}
        found |= {"largest": Form(wide, (atoms,)), "where": Form(np.dtype(np.int64), (atoms,))}
    return found


@dataclass(frozen=True, slots=True)
class Collected:
    """The state of a share: `Collector.collected` gives it, `Collector.merge` adds it.

    Parts of one pool may be collected by several processes, kept in files or sent; whoever merges
    them does so in the order of their ranges, so that sums are the same whoever came first.

    Attributes:
        share: whose rows it is of.
        arrays: as `forms` has them.
    """

    share: Share
    arrays: Mapping[str, Array]

    @classmethod
    def of(
        cls,
        share: Share,
        form: Mapping[str, Form],
        rows: Callable[[Ints], NDArray[Any]],
        moments: Callable[[int], Sums],
        energies: Mapping[int, Energy],
        means: Mapping[int, F64],
    ) -> Collected:
        """From what a pass over the share's tokens left: stored rows by number, sums by atom.

        Arrays are made when they are asked for; what they are made from must last until then.
        """
        atoms = share.atoms.tolist()

        def stacked(name: str, one: Callable[[int], Any], keys: list[int]) -> Made:
            wanted = form[name]

            def make(start: int, stop: int) -> NDArray[Any]:
                found = np.empty((stop - start, *wanted.shape[1:]), wanted.dtype)
                for place, key in enumerate(keys[start:stop]):
                    found[place] = one(key)
                return found

            return Made(wanted.shape, wanted.dtype, make)

        looked_up = Made(
            form["rows"].shape, form["rows"].dtype, lambda a, b: rows(share.stored[a:b])
        )
        arrays: dict[str, Array] = {
            "rows": looked_up,
            "totals": stacked("totals", lambda atom: np.asarray(moments(atom).total), atoms),
            "grams": stacked("grams", lambda atom: packed(np.asarray(moments(atom).gram)), atoms),
            "means": stacked("means", lambda number: means[number], share.crossing.tolist()),
        }
        if share.plan.diagnoses:
            arrays |= {
                "sums": stacked("sums", lambda atom: energies[atom].total, atoms),
                "squares": stacked("squares", lambda atom: energies[atom].squares, atoms),
                "largest": stacked("largest", lambda atom: energies[atom].largest, atoms),
                "where": stacked("where", lambda atom: energies[atom].number, atoms),
            }
        return cls(share, arrays)

    @classmethod
    def from_arrays(cls, share: Share, arrays: Mapping[str, Array]) -> Collected:
        """From arrays that were kept or sent, which may be read when they are asked for."""
        return cls(share, arrays)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it in memory, by name."""
        return {name: array[:] for name, array in self.arrays.items()}

    def rows(self, categories: range) -> Iterator[tuple[Ints, NDArray[Any]]]:
        """Numbers [m] and rows [m, d] of these categories, some at a time."""
        numbers = self.share.stored
        begin, end = self._run(self.share.plan.rows.atom_of(numbers), categories)
        for start in range(begin, end, CHUNK):
            stop = min(start + CHUNK, end)
            yield numbers[start:stop], self.arrays["rows"][start:stop]

    def moments(self, categories: range) -> Iterator[tuple[int, Sums]]:
        """The large atoms of these categories."""
        begin, end = self._run(self.share.atoms, categories)
        for place in range(begin, end):
            one = slice(place, place + 1)
            total, gram = self.arrays["totals"][one][0], self.arrays["grams"][one][0]
            count = int(self.share.counts[place])
            yield int(self.share.atoms[place]), Sums(count, total, unpacked(gram))

    def energies(self, categories: range) -> Iterator[tuple[int, Energy]]:
        """Those of the same atoms, if the plan diagnoses."""
        if not self.share.plan.diagnoses:
            return
        begin, end = self._run(self.share.atoms, categories)
        sums, squares, largest, where = (
            self.arrays[name][begin:end] for name in ("sums", "squares", "largest", "where")
        )
        for place, atom in enumerate(self.share.atoms[begin:end].tolist()):
            yield (
                atom,
                Energy(
                    int(self.share.counts[begin + place]),
                    *(
                        sums[place].copy(),
                        squares[place].copy(),
                        float(largest[place]),
                        int(where[place]),
                    ),
                ),
            )

    def means(self, categories: range) -> Iterator[tuple[int, F64]]:
        """Numbers of means that cross a border, and the sums over their tokens here."""
        numbers = self.share.crossing
        if len(numbers) == 0:
            return
        wanted = self.share.plan.among(categories)[self.share.plan.rows.atom_of(numbers)]
        for place in np.flatnonzero(wanted).tolist():
            yield int(numbers[place]), self.arrays["means"][place : place + 1][0]

    def _run(self, atoms: Ints, categories: range) -> tuple[int, int]:
        """Where sorted atoms are of these categories."""
        _, segments, bins = self.share.plan.rows.atoms.shape
        borders = np.array([categories.start, categories.stop]) * segments * bins
        begin, end = np.searchsorted(atoms, borders).tolist()
        return begin, end


def packed(gram: NDArray[Any]) -> NDArray[Any]:
    """The lower triangles of matrices [..., d, d], column after column, [..., d (d + 1) / 2]."""
    dim = gram.shape[-1]
    found = np.empty((*gram.shape[:-2], dim * (dim + 1) // 2), gram.dtype)
    start = 0
    for column in range(dim):
        stop = start + dim - column
        found[..., start:stop] = gram[..., column:, column]
        start = stop
    return found


def unpacked(triangle: NDArray[Any]) -> NDArray[Any]:
    """The symmetric matrices [..., d, d] of which `packed` has the lower triangles."""
    length = triangle.shape[-1]
    dim = (int(np.sqrt(8 * length + 1)) - 1) // 2
    found = np.empty((*triangle.shape[:-1], dim, dim), triangle.dtype)
    start = 0
    for column in range(dim):
        stop = start + dim - column
        found[..., column:, column] = found[..., column, column:] = triangle[..., start:stop]
        start = stop
    return found
