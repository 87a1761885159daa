"""Several devices of one process: rows are spread over a mesh, and solves over its devices.

Each device adds up its share of every block of rows, so that a set has as many partial sums as
there are devices, each where it was made. They are added over the mesh when the set is reduced, on
the device with the least to do. So a device holds as much as one alone would, and rows and products
are spread evenly, whatever the sizes of sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from spectra.backend.device import ROWS_PER_UPDATE, Arithmetic, DeviceBackend, sent
from spectra.backend.sums import Sums
from spectra.linalg import F64, Axes, Reduced, WeightsOf

_AXIS = "rows"
_SPREAD, _WHOLE = PartitionSpec(_AXIS), PartitionSpec()


class MeshBackend:
    """Products over all devices, reductions on one after the other.

    `Sums` have an axis before those of a device, [devices, ...], spread over the mesh.

    Attributes:
        name, mode: the devices' platform, and how exact they are.
        count: how many there are.
    """

    def __init__(self, each: Sequence[DeviceBackend]) -> None:
        """Use these, one a device and all alike."""
        self.name, self.mode, self.count = each[0].name, each[0].mode, len(each)
        self._each, self._arithmetic = tuple(each), each[0].arithmetic
        self._wide = each[0].wide
        self._mesh = Mesh(np.array([one.device for one in each]), (_AXIS,))
        self._spread = NamedSharding(self._mesh, _SPREAD)
        self._everywhere = NamedSharding(self._mesh, _WHOLE)
        self._busy, self._noting = [0] * len(each), Lock()
        # Two sums over the mesh that devices begin in another order wait for each other forever.
        self._adding = Lock()

    def moment_room(self, dim: int) -> int | None:
        """That of the device with the least, since each holds partial sums of every set."""
        rooms = [one.moment_room(dim) for one in self._each]
        known = [room for room in rooms if room is not None]
        return min(known) if len(known) == len(rooms) else None

    def with_less_room(self) -> Self | None:
        """With half of the memory of each; None where one has no less."""
        smaller = [one.with_less_room() for one in self._each]
        known = [one for one in smaller if one is not None]
        return type(self)(known) if len(known) == len(smaller) else None

    def reduction(self, order: int, rows: bool) -> str:
        """As on one device."""
        return self._each[0].reduction(order, rows)

    def zeros(self, dim: int) -> Sums:
        """The sums of no rows."""
        with jax.enable_x64(self._wide):
            total, gram = (
                jnp.zeros((self.count, *shape), self._arithmetic.dtype, device=self._spread)
                for shape in self._arithmetic.shapes(dim)
            )
            return Sums(0, total, gram)

    def accumulate(self, sums: Sums, rows: NDArray[np.generic], shift: F64) -> Sums:
        """Sums with the rows [m, d] of any float dtype added; `sums`' arrays are donated."""
        rows, near = self._arithmetic.sent(rows, shift)
        size = self._block_rows(rows.shape[1])
        update = _programs(self._mesh, self._arithmetic).update
        with jax.enable_x64(self._wide):
            total, gram = sums.total, sums.gram
            for start in range(0, len(rows), size):
                block = rows[start : start + size]
                there = sent(block, size, self._spread, self.name)
                total, gram = update(total, gram, there, len(block), near)
            return Sums(sums.rows + len(rows), total, gram)

    def merge(self, into: Sums, other: Sums) -> Sums:
        """The sums of both sets of rows; `into`'s arrays are donated.

        The other's may be whole, as `whole` or another process has them.
        """
        program = _programs(self._mesh, self._arithmetic)
        merge = program.merge if other.gram.ndim == into.gram.ndim else program.merge_whole
        with jax.enable_x64(self._wide):
            total, gram = merge(into.total, into.gram, other.total, other.gram)
            return Sums(into.rows + other.rows, total, gram)

    def whole(self, sums: Sums) -> Sums:
        """The sums over the mesh, on its first device."""
        return self._whole_on(sums, 0)

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        """The tridiagonal form of a group from its moments."""
        with self._least_busy() as number:
            return self._each[number].reduce_moments(self._whole_on(sums, number), shift)

    def reduce_rows(self, rows: NDArray[np.generic]) -> Reduced:
        """The tridiagonal form of a group from its rows [n, d]."""
        with self._least_busy() as number:
            return self._each[number].reduce_rows(rows)

    def axes(self, sums: Sums, shift: F64, centered: bool, weights_of: WeightsOf) -> Axes:
        """From the moments; the axes are put on all devices."""
        with self._least_busy() as number:
            there = self._whole_on(sums, number)
            return self.held(self._each[number].axes(there, shift, centered, weights_of))

    def held(self, axes: Axes) -> Axes:
        """With the vectors on all devices."""
        with jax.enable_x64(True):
            return axes._replace(vectors=jax.device_put(axes.vectors, self._everywhere))

    def carried(self, rows: NDArray[np.generic], of: Sequence[Axes]) -> list[F64]:
        """On one device; callers side by side use several."""
        with self._least_busy() as number:
            device = self._each[number].device
            own = [one._replace(vectors=_on(device, one.vectors)) for one in of]
            return self._each[number].carried(rows, own)

    def carried_by_few(
        self, rows: NDArray[np.generic], centered: bool, weights_of: WeightsOf
    ) -> F64:
        """On one device."""
        with self._least_busy() as number:
            return self._each[number].carried_by_few(rows, centered, weights_of)

    def _whole_on(self, sums: Sums, number: int) -> Sums:
        device = self._each[number].device
        with self._adding, jax.enable_x64(self._wide):
            whole = _programs(self._mesh, self._arithmetic).whole(sums.total, sums.gram)
            total, gram = (_on(device, one).block_until_ready() for one in whole)
        return Sums(sums.rows, total, gram)

    @contextmanager
    def _least_busy(self) -> Iterator[int]:
        with self._noting:
            number = self._busy.index(min(self._busy))
            self._busy[number] += 1
        try:
            yield number
        finally:
            with self._noting:
                self._busy[number] -= 1

    def _block_rows(self, dim: int) -> int:
        """Of all devices together, the same number on each, as large as the engine's at most."""
        each = min(one.block_rows(dim) for one in self._each)
        return self.count * min(each, -(-ROWS_PER_UPDATE // self.count))


def _on(device: jax.Device, spread: Any) -> Any:
    """The copy on one device of what all have."""
    return next(one.data for one in spread.addressable_shards if one.device == device)


class _Programs(NamedTuple):
    """What devices of a mesh do together, compiled once for each shape."""

    update: Callable[..., tuple[Any, Any]]
    merge: Callable[..., tuple[Any, Any]]
    merge_whole: Callable[..., tuple[Any, Any]]
    whole: Callable[..., tuple[Any, Any]]


@cache
def _programs(mesh: Mesh, arithmetic: Arithmetic) -> _Programs:
    count = mesh.size

    def over(each: Callable[..., Any], donate: tuple[int, ...], *specs: PartitionSpec) -> Any:
        out = _SPREAD if donate else _WHOLE
        mapped = jax.shard_map(
            each, mesh=mesh, in_specs=specs, out_specs=(out, out), check_vma=False
        )
        return jax.jit(mapped, donate_argnums=donate)

    def update(total: Any, gram: Any, rows: Any, filled: Any, shift: Any) -> tuple[Any, Any]:
        before = lax.axis_index(_AXIS).astype(filled.dtype) * rows.shape[0]
        own = jnp.clip(filled - before, 0, rows.shape[0])
        return _alone(arithmetic.update(total[0], gram[0], rows, own, shift))

    def merge(total: Any, gram: Any, more_total: Any, more_gram: Any) -> tuple[Any, Any]:
        return _alone(arithmetic.merge(total[0], gram[0], more_total[0], more_gram[0]))

    def merge_whole(total: Any, gram: Any, more_total: Any, more_gram: Any) -> tuple[Any, Any]:
        first = lax.axis_index(_AXIS) == 0
        more = (jnp.where(first, one, jnp.zeros_like(one)) for one in (more_total, more_gram))
        return _alone(arithmetic.merge(total[0], gram[0], *more))

    def whole(total: Any, gram: Any) -> tuple[Any, Any]:
        return (
            arithmetic.over(total[0], _AXIS, count),
            arithmetic.over(gram[0], _AXIS, count),
        )

    sums = (_SPREAD, _SPREAD)
    return _Programs(
        over(update, (0, 1), *sums, _SPREAD, _WHOLE, _WHOLE),
        over(merge, (0, 1), *sums, *sums),
        over(merge_whole, (0, 1), *sums, _WHOLE, _WHOLE),
        over(whole, (), *sums),
    )


def _alone(sums: tuple[Any, Any]) -> tuple[Any, Any]:
    """With the axis of devices, of which this is one."""
    return sums[0][None], sums[1][None]
