"""A device's memory: what moments may take of it, and how large the blocks beside them may be."""

from __future__ import annotations

from dataclasses import dataclass

import jax

FREE_SHARE = 0.9
"""Of what is free on the device; the rest is for compiled programs, libraries and fragments."""

WORK_SHARE = 0.25
"""Of that, for what programs take while they run, if the least they can do with is not more."""

SMALLEST_BLOCK = 64
"""Rows of a block, and of a padded group, that are not worth halving."""

LEAST_ROOM = 1 << 28
"""Bytes that are not worth halving, when a device has less than it told."""

WAITING = 32
"""Programs that JAX lets wait for a device, each with its block of rows."""

TURNS = 2
"""Reductions on a device at a time: one is computed while the next one's rows arrive."""

_VALUE = 8
"""Bytes of a number in float64, of a pair of float32, and at most of one as stored."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of a device's memory that a run may use, split between moments and work.

    Work is one update at a time and `TURNS` reductions. What those take is counted in arrays: an
    update holds two [d, d], three blocks and those that wait; a reduction of moments four [d, d],
    one of n padded rows three [n, d] and four [n, n].
    """

    total: int

    @classmethod
    def of(cls, device: jax.Device) -> Room | None:
        """What is free on a device now; None where it does not tell (JAX's CPU client)."""
        told = device.memory_stats() or {}
        limit = told.get("bytes_limit", 0)
        return cls(int(FREE_SHARE * (limit - told.get("bytes_in_use", 0)))) if limit > 0 else None

    def moments(self, dim: int) -> int:
        """Bytes for moments of rows of width dim."""
        return max(self.total - self.work(dim), 0)

    def block_rows(self, dim: int, most: int) -> int:
        """Rows of an update: `most`, halved until a reduction fits beside it."""
        room = self.work(dim) - _reduction(dim)
        while most > SMALLEST_BLOCK and _update(most, dim) > room:
            most //= 2
        return most

    def work(self, dim: int) -> int:
        """Bytes for what runs, with rows of width dim; more than the total where that is little."""
        return max(int(WORK_SHARE * self.total), _update(SMALLEST_BLOCK, dim) + _reduction(dim))


def _update(rows: int, dim: int) -> int:
    return _VALUE * (2 * dim**2 + (WAITING + 3) * rows * dim)


def _reduction(dim: int) -> int:
    """Of rows, which take more than moments; there are as many as columns at most."""
    size = max(dim, SMALLEST_BLOCK)
    return TURNS * _VALUE * (3 * size * dim + 4 * size**2)
