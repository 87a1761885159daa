"""Sums of a pool's rows by dimension, and its largest rows, for diagnostics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import Ints
from spectra.linalg import F64


@dataclass(slots=True)
class Energy:
    """Of a set of rows x [n, d].

    Attributes:
        rows: their number n.
        total: [d] sums of x.
        squares: [d] sums of x^2.
        largest: the largest |x|^2 of a row.
        number: the number of that row in its pool; the first one where several are as large.
    """

    rows: int
    total: F64
    squares: F64
    largest: float
    number: int

    @classmethod
    def of(cls, rows: NDArray[np.generic], numbers: Ints) -> Energy:
        """Of rows [n, d], n >= 1, with their numbers [n]."""
        wide = rows.astype(np.float64)
        total = wide.sum(axis=0)
        np.square(wide, out=wide)
        norms = wide.sum(axis=1)
        first = int(np.lexsort((numbers, -norms))[0])
        return cls(len(rows), total, wide.sum(axis=0), float(norms[first]), int(numbers[first]))

    def add(self, other: Energy) -> None:
        """With another set's rows."""
        self.rows += other.rows
        self.total += other.total
        self.squares += other.squares
        if (-other.largest, other.number) < (-self.largest, self.number):
            self.largest, self.number = other.largest, other.number


class Energies:
    """Those of each atom of a pool, from its rows a block at a time."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.by_atom: dict[int, Energy] = {}

    def take(self, atom: int, rows: NDArray[np.generic], numbers: Ints) -> None:
        """Add rows [m, d], m >= 1, of an atom with their numbers [m]."""
        self.add(atom, Energy.of(rows, numbers))

    def add(self, atom: int, found: Energy) -> None:
        """Add what was found of some of an atom's rows."""
        if atom in self.by_atom:
            self.by_atom[atom].add(found)
        else:
            self.by_atom[atom] = found

    def of(self, atoms: NDArray[np.bool_]) -> Energy | None:
        """The sums over some atoms, by a mask [atoms]; None where they have no rows."""
        found: Energy | None = None
        for atom in np.flatnonzero(atoms).tolist():
            one = self.by_atom.get(atom)
            if one is None:
                continue
            if found is None:
                found = Energy(0, np.zeros_like(one.total), np.zeros_like(one.squares), -1.0, 0)
            found.add(one)
        return found
