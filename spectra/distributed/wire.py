"""Arrays between processes: JAX's collectives over one CPU device of each.

They go over TCP from the hosts' memory, whatever accelerators there are: what is sent lies on the
host, and every CPU adds up in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

LEAST, MOST = 1 << 10, 1 << 22
"""Numbers of 8 bytes that are sent at a time: powers of two between these, for few programs."""

_AXIS = "process"


class Wire:
    """Sums and collects; all processes call alike, from one thread."""

    def __init__(self, rank: int, count: int) -> None:
        """For a process of so many, which JAX has connected."""
        first = {device.process_index: device for device in reversed(jax.devices("cpu"))}
        self._own, self._count = first[rank], count
        self._mesh = Mesh(np.array([first[number] for number in range(count)]), (_AXIS,))
        self._sum = self._program(lambda own: lax.psum(own[0], _AXIS))
        self._gather = self._program(lambda own: lax.all_gather(own[0], _AXIS))
        self.total(np.zeros(1))  # connects them

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sums over processes of arrays of one shape, of a type of 8 bytes."""
        flat = np.ascontiguousarray(values).reshape(-1)
        found = [summed[:size] for summed, size in self._chunks(self._sum, flat)]
        return np.concatenate([*found, np.empty(0, flat.dtype)]).reshape(values.shape)

    def collect(self, data: bytes) -> list[bytes]:
        """The bytes of each process."""
        own = np.array([len(data)], np.uint64)
        sizes = next(self._chunks(self._gather, own))[0][:, 0].tolist()
        padded = np.zeros(-(-max(sizes) // 8) * 8, np.uint8)
        padded[: len(data)] = np.frombuffer(data, np.uint8)
        parts = [all_of[:, :size] for all_of, size in self._chunks(self._gather, padded.view("u8"))]
        if not parts:
            return [b""] * self._count
        whole = np.concatenate(parts, axis=1)
        return [row.tobytes()[:size] for row, size in zip(whole, sizes, strict=True)]

    def _program(self, each: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Of what every process has, a result that all of them get."""
        spread, whole = PartitionSpec(_AXIS), PartitionSpec()
        over = jax.shard_map(
            each, mesh=self._mesh, in_specs=spread, out_specs=whole, check_vma=False
        )
        return jax.jit(over)

    def _chunks(
        self, program: Callable[[Any], Any], flat: NDArray[Any]
    ) -> Iterator[tuple[NDArray[Any], int]]:
        """A program's results for a chunk after the other, and how much of each counts."""
        sharding = NamedSharding(self._mesh, PartitionSpec(_AXIS))
        for start in range(0, len(flat), MOST):
            some = flat[start : start + MOST]
            size = max(LEAST, 1 << (len(some) - 1).bit_length())
            held = np.zeros((1, size), flat.dtype)
            held[0, : len(some)] = some
            with jax.enable_x64(True):
                own = jax.device_put(held, self._own)
                shape = (self._count, size)
                spread = jax.make_array_from_single_device_arrays(shape, sharding, [own])
                yield np.asarray(program(spread).addressable_data(0)), len(some)
