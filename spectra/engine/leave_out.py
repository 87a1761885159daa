"""Every group's metrics without each of some blocks of traces, one after the other.

Of many blocks that is the exact jackknife; of two, what each half of the traces shows.

Groups are taken a few at a time, as many as fit the memory, with one more pass over the shards for
each lot. A group's moments without a block are added up from those of the other blocks, never by
subtraction, in a tree: B log2 B additions, and log2 B sums beside the blocks' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectra.backend import Backend, Sums
from spectra.engine.collect import AtomBuffers
from spectra.engine.config import RunConfig
from spectra.engine.dealing import Deal, cost_of
from spectra.engine.plan import PoolPlan
from spectra.engine.solve import Solver, all_repaired
from spectra.engine.statistics import statistics
from spectra.engine.stream import Stream
from spectra.engine.workers import Workers
from spectra.grouping import Group, Ints
from spectra.linalg import F64, Wanted
from spectra.linalg.rowspace import Blocks
from spectra.route import DEFAULT_ALPHA_RANKS
from spectra.statistics import METRICS


class Without(NamedTuple):
    """A group without each of its blocks.

    Attributes:
        sizes: [B] rows of each block that has any.
        values: [B, METRICS] the metrics of the other rows; NaN where undefined.
    """

    sizes: Ints
    values: F64


class LeaveOut:
    """Leaves out one block of traces after the other of every group of a pool."""

    def __init__(
        self,
        plan: PoolPlan,
        shift: F64,
        backend: Backend,
        config: RunConfig,
        workers: Workers,
        dtype: np.dtype[Any],
    ) -> None:
        """For the pool's rows as `dtype`, whose moments are taken around `shift`."""
        self._plan, self._shift, self._backend, self._config = plan, shift, backend, config
        self._workers, self._dtype = workers, dtype
        self._wanted: Wanted = "centered" if config.chosen.centered else "uncentered"

    def find(
        self, stream: Stream, of_trace: Ints, room: int, least: int = 0
    ) -> dict[Group, Without]:
        """Of every group with `least` rows or more, some in two blocks or more.

        Args:
            stream: where rows are read.
            of_trace: [T] the block of each trace, from 0.
            room: bytes that sums may take at a time.
            least: rows of a group.
        """
        own: dict[Group, Without] = {}
        keys: list[Group] = []
        for lot in self._lots(of_trace, room, least, keys):
            own |= self._find(lot, stream, of_trace)
        found = self._workers.deal.shared(
            keys, {group: one._asdict() for group, one in own.items()}
        )
        return {group: Without(**arrays) for group, arrays in found.items()}

    def _lots(
        self, of_trace: Ints, room: int, least: int, keys: list[Group]
    ) -> Iterator[dict[Group, Ints]]:
        """Groups with the rows of each block, in lots whose sums or rows fit together.

        Whole groups are dealt out to processes, which read the rows of theirs wherever those lie;
        `keys` takes note of all.
        """
        lot: dict[Group, Ints] = {}
        taken, deal = 0, self._workers.deal
        for group, sizes in self._groups(of_trace):
            held, total = int(np.count_nonzero(sizes)), int(sizes.sum())
            if held < 2 or total < least:
                continue
            keys.append(group)
            if not deal.mine(held * cost_of(total, self._plan.dim)):
                continue
            needed = self._plan.dim * 8 * min(total, self._plan.dim * (held + 2))
            if lot and taken + needed > room:
                yield lot
                lot, taken = {}, 0
            lot[group], taken = sizes, taken + needed
        if lot:
            yield lot

    def _groups(self, of_trace: Ints) -> Iterator[tuple[Group, Ints]]:
        rows, twins = self._plan.rows, self._plan.twins()
        of_run, count = (
            of_trace[rows.pairs.steps.trace[rows.step]],
            int(of_trace.max(initial=-1)) + 1,
        )
        for group in rows.atoms.basic_groups() + rows.atoms.depth_groups():
            if group not in twins:
                mine = rows.atoms.mask(group)[rows.atom]
                sizes = np.bincount(of_run[mine], rows.length[mine], minlength=count)
                yield group, sizes.astype(np.int64)

    def _find(
        self, lot: Mapping[Group, Ints], stream: Stream, of_trace: Ints
    ) -> dict[Group, Without]:
        rows, dim = self._plan.rows, self._plan.dim
        masks = {group: rows.atoms.mask(group) for group in lot}
        wanted = np.any(list(masks.values()), axis=0)
        parts: dict[Group, _Parts] = {
            group: (_Moments if sizes.sum() > dim else _Rows)(self._backend, dim, self._shift)
            for group, sizes in lot.items()
        }
        groups_of = {
            int(atom): [group for group, mask in masks.items() if mask[atom]]
            for atom in np.flatnonzero(wanted)
        }

        def flush(atom: int, some: NDArray[Any], numbers: Ints) -> None:
            blocks = of_trace[rows.trace_of(numbers)]
            for block in np.unique(blocks).tolist():
                own = some[blocks == block]
                for group in groups_of[atom]:
                    parts[group].add(block, own)

        buffers = AtomBuffers(self._plan.atom_rows, dim, self._dtype, flush)
        for block in stream.blocks([rows], [wanted]):
            atoms = rows.atom_of(block.numbers)
            buffers.add(block.rows, block.numbers, atoms, np.arange(len(atoms)))
        buffers.finish()

        def rest(group: Group, block: int) -> Blocks:
            return lambda: self._rest(stream, masks[group], of_trace, block)

        return {
            group: self._solved(parts[group], sizes, partial(rest, group))
            for group, sizes in lot.items()
        }

    def _rest(
        self, stream: Stream, mask: NDArray[np.bool_], of_trace: Ints, block: int
    ) -> Iterator[F64]:
        """The rows of some atoms that are not of a block, read again."""
        rows = self._plan.rows
        for one in stream.blocks([rows], [mask]):
            others = of_trace[rows.trace_of(one.numbers)] != block
            if others.any():
                yield one.rows[others].astype(np.float64)

    def _solved(self, parts: _Parts, sizes: Ints, rest: Callable[[int], Blocks]) -> Without:
        config, dim = self._config, self._plan.dim
        alpha = config.chosen.alpha_ranks or DEFAULT_ALPHA_RANKS
        alone = Deal()
        solver: Solver[int] = Solver(
            *(dim, self._shift, self._backend, alpha, self._workers), deal=alone
        )
        held = np.flatnonzero(sizes)
        for block, part in parts.without(held.tolist()):
            solver.submit(block, part, self._wanted)
        solver.finish()
        solved = all_repaired(solver.results, rest, self._workers, alone)
        left = [solved[block] for block in held.tolist()]
        spectra = [one.centered if config.chosen.centered else one.uncentered for one in left]
        others = (sizes.sum() - sizes[held]).tolist()
        summary = statistics(spectra, others, dim, config.chosen, self._backend.name)
        values = np.stack([getattr(summary, name) for name in METRICS], axis=1)
        return Without(sizes[held], np.asarray(values, np.float64))


class _Parts:
    """A group's blocks, kept apart."""

    def __init__(self, backend: Backend, dim: int, shift: F64) -> None:
        self._backend, self._dim, self._shift = backend, dim, shift

    def add(self, block: int, rows: NDArray[Any]) -> None:
        """Rows [m, d] of a block."""
        raise NotImplementedError

    def without(self, blocks: Sequence[int]) -> Iterator[tuple[int, Sums | NDArray[Any]]]:
        """Each block with the sums, or the rows, of all others."""
        raise NotImplementedError


class _Rows(_Parts):
    def __init__(self, backend: Backend, dim: int, shift: F64) -> None:
        super().__init__(backend, dim, shift)
        self._rows: dict[int, list[NDArray[Any]]] = {}

    def add(self, block: int, rows: NDArray[Any]) -> None:
        self._rows.setdefault(block, []).append(rows.copy())

    def without(self, blocks: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        for block in blocks:
            rest = [part for other in blocks if other != block for part in self._rows[other]]
            yield block, np.concatenate(rest)


class _Moments(_Parts):
    def __init__(self, backend: Backend, dim: int, shift: F64) -> None:
        super().__init__(backend, dim, shift)
        self._sums: dict[int, Sums] = {}

    def add(self, block: int, rows: NDArray[Any]) -> None:
        sums = self._sums.get(block) or self._backend.zeros(self._dim)
        self._sums[block] = self._backend.accumulate(sums, rows, self._shift)

    def without(self, blocks: Sequence[int]) -> Iterator[tuple[int, Sums]]:
        yield from self._all_but_each(blocks, self._backend.zeros(self._dim))

    def _all_but_each(self, blocks: Sequence[int], outside: Sums) -> Iterator[tuple[int, Sums]]:
        """Each of some blocks with the sums of the others and of what is outside."""
        if len(blocks) == 1:
            yield blocks[0], outside
            return
        half = len(blocks) // 2
        for inner, others in ((blocks[:half], blocks[half:]), (blocks[half:], blocks[:half])):
            sums = self._backend.merge(self._backend.zeros(self._dim), outside)
            for other in others:
                sums = self._backend.merge(sums, self._sums[other])
            yield from self._all_but_each(inner, sums)
