"""Several processes that each read a share of the rows, and all get the sums of all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import RowReader
from spectra.distributed import Processes, span
from spectra.engine.collect import Collector
from spectra.engine.collected import Array, Collected, Made, forms, packed
from spectra.engine.share import Share, across
from spectra.engine.source import Streamed, Tell
from spectra.engine.stream import Block, Stream
from spectra.grouping import Ints
from spectra.linalg import F64
from spectra.pooling import PooledRows


class Exchanged(Streamed):
    """One pass over the shards, of which each process has a contiguous share."""

    def __init__(self, processes: Processes) -> None:
        """All of these fill their collectors together."""
        self.processes = processes

    def shift(self, reader: RowReader) -> F64:
        """By `pilot`; raises `DisagreementError` where processes see other states."""
        found = super().shift(reader)
        self.processes.agree("the states", hashlib.sha256(found.tobytes()).hexdigest())
        return found

    def fill(
        self, collectors: Sequence[Collector], categories: range, stream: Stream, tell: Tell
    ) -> None:
        """Have the own rows of these categories stream by, and add up what all have."""
        plans = [collector.plan for collector in collectors]
        wanted = [plan.among(categories) for plan in plans]
        borders = borders_of(stream, self.processes)
        own = [_own(collector, categories, borders, self.processes) for collector in collectors]
        rows = [plan.rows for plan in plans]
        for block in own_blocks(stream, self.processes, rows, wanted, tell):
            own[block.pool].add(block.rows, block.numbers)
        for mine in own:
            mine.finish()
        self.processes.gather("moments", list(categories))
        for collector, mine in zip(collectors, own, strict=True):
            whole = Share.of(collector.plan, 0, stream.reader.num_rows)
            collector.merge(_Sums(mine, whole, self.processes).collected(), categories)


def borders_of(stream: Stream, processes: Processes) -> Ints:
    """The token rows [count + 1] at which shares begin, and the end."""
    size, count = stream.reader.num_rows, processes.count
    return np.array([*(span(size, rank, count)[0] for rank in range(count)), size])


def own_blocks(
    stream: Stream,
    processes: Processes,
    pools: Sequence[PooledRows],
    wanted: Sequence[NDArray[np.bool_]],
    tell: Tell = lambda rows: None,
) -> Generator[Block]:
    """The rows of wanted atoms that this process is to take; each is taken by one process.

    Those are the rows of its token rows, and the means that begin there: what crosses a border is
    added up by all. Afterwards `stream` knows the bad rows of all processes.
    """
    if processes.count == 1:
        yield from stream.blocks(pools, wanted, tell)
        return
    borders = borders_of(stream, processes)
    begin, end = borders[processes.rank : processes.rank + 2].tolist()
    own = replace(stream, span=(begin, end), crossing=[])
    yield from own.blocks(pools, wanted, tell)
    processes.gather("rows", stream.reader.num_rows)
    for number, (rows, want) in enumerate(zip(pools, wanted, strict=True)):
        crossing, mine = _crossing(rows, borders, processes.rank)
        kept = want[rows.atom_of(crossing)]
        crossing, mine = crossing[kept], mine[kept]
        if len(crossing) == 0:
            continue
        sums = np.zeros((len(crossing), stream.reader.dim))
        for place, mean in enumerate(crossing.tolist()):
            sums[place] += own.crossing[number].get(mean, 0.0)
        sums = processes.total(sums)
        if mine.any():
            run = np.searchsorted(rows.first, crossing[mine], side="right") - 1
            tokens = rows.pairs.count[rows.step[run]]
            yield Block(number, sums[mine] / tokens[:, None], crossing[mine])
    bad = processes.collect(own.bad.tobytes())
    stream.bad = np.unique(np.concatenate([np.frombuffer(one, np.int64) for one in bad]))


def _crossing(rows: PooledRows, borders: Ints, rank: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Sorted numbers of the means that cross a border, and which of them begin in one's share."""
    crossing = across(rows, borders)
    low, _ = rows.tokens()
    first = low[np.searchsorted(rows.first, crossing, side="right") - 1]
    return crossing, (first >= borders[rank]) & (first < borders[rank + 1])


def _own(collector: Collector, categories: range, borders: Ints, processes: Processes) -> Collector:
    """What takes the rows that are this process's alone."""
    plan, rank = collector.plan, processes.rank
    share = Share.of(plan, int(borders[rank]), int(borders[rank + 1]))
    crossing, mine = _crossing(plan.rows, borders, rank)
    crossing = crossing[mine]
    kept = ~plan.large[plan.rows.atom_of(crossing)] | plan.lasts(crossing)
    stored = np.union1d(share.stored, crossing[kept])
    return collector.alike(stored[plan.among(categories)[plan.rows.atom_of(stored)]])


class _Sums:
    """Sums over processes, made when they are asked for: by all of them, in one order."""

    def __init__(self, own: Collector, whole: Share, processes: Processes) -> None:
        self._own, self._whole, self._processes = own, whole, processes

    def collected(self) -> Collected:
        """As if one pass had gone over all rows."""
        whole = self._whole
        makers: dict[str, Callable[[int, int], NDArray[Any]]] = {
            "rows": self._rows,
            "totals": lambda start, stop: self._summed(start, stop, self._total),
            "grams": lambda start, stop: self._summed(start, stop, self._gram),
            "means": lambda start, stop: np.empty((0, whole.plan.dim)),
            "sums": lambda start, stop: self._energies(start, stop, "total"),
            "squares": lambda start, stop: self._energies(start, stop, "squares"),
            "largest": lambda start, stop: self._largest(start, stop)[0],
            "where": lambda start, stop: self._largest(start, stop)[1],
        }
        form = forms(whole, self._own.dtype, self._own.mode)
        arrays: dict[str, Array] = {
            name: Made(one.shape, one.dtype, makers[name]) for name, one in form.items()
        }
        return Collected.from_arrays(whole, arrays)

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        numbers = self._whole.stored[start:stop]
        rows = np.zeros((len(numbers), self._whole.plan.dim), self._own.dtype)
        mine = self._own.holds(numbers)
        rows[mine] = self._own.rows(numbers[mine])
        return self._processes.union(rows)

    def _summed(self, start: int, stop: int, of: Callable[[int], F64]) -> NDArray[Any]:
        """Of these atoms, where the own rows have none zeros."""
        summed = self._processes.total(np.stack([of(atom) for atom in self._atoms(start, stop)]))
        if self._own.mode == "exact":
            return summed
        high = summed.astype(np.float32)
        return np.stack([high, (summed - high).astype(np.float32)], axis=1)

    def _total(self, atom: int) -> F64:
        if atom not in self._own.moments:
            return np.zeros(self._whole.plan.dim)
        return self._wide(self._own.whole(atom).total)

    def _gram(self, atom: int) -> F64:
        """Asked for last: the own sums make room for those of all."""
        dim = self._whole.plan.dim
        if atom not in self._own.moments:
            return np.zeros(dim * (dim + 1) // 2)
        gram = self._wide(self._own.whole(atom).gram)
        del self._own.moments[atom]
        return packed(gram)

    def _wide(self, values: Any) -> F64:
        """On the host, in float64, of which pairs of float32 are the sums."""
        there = np.asarray(values)
        return there if self._own.mode == "exact" else there.astype(np.float64).sum(axis=0)

    def _energies(self, start: int, stop: int, name: str) -> F64:
        none, found = np.zeros(self._whole.plan.dim), self._own.energies
        own = [getattr(found.get(atom), name, none) for atom in self._atoms(start, stop)]
        return self._processes.total(np.stack(own) if own else np.empty((0, len(none))))

    def _largest(self, start: int, stop: int) -> tuple[F64, Ints]:
        """The largest row of all, the first one where several are as large."""
        own, atoms = self._own.energies, self._atoms(start, stop)
        largest = np.array([own[atom].largest if atom in own else -1.0 for atom in atoms])
        number = np.array([own[atom].number if atom in own else 0 for atom in atoms], np.int64)
        sent = self._processes.collect(largest.tobytes() + number.tobytes())
        of_all = np.stack([np.frombuffer(one, np.float64, len(atoms)) for one in sent])
        numbers = np.stack([np.frombuffer(one, np.int64, offset=8 * len(atoms)) for one in sent])
        first = [int(np.lexsort(pair)[0]) for pair in zip(numbers.T, -of_all.T, strict=True)]
        places = (np.array(first, np.int64), np.arange(len(atoms)))
        return of_all[places], numbers[places]

    def _atoms(self, start: int, stop: int) -> list[int]:
        atoms: list[int] = self._whole.atoms[start:stop].tolist()
        return atoms
