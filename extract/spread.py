"""How a model is spread over devices: copies of it, each on as few devices as hold it.

Copies take whole batches, so their number changes no byte. Devices that share a copy sum its
products in another order: how many they are is part of what decides the bytes. It follows from the
devices' sizes and not from what is free there just now, so that a run which is begun again finds
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extract.decoder.spec import DecoderSpec
from extract.decoder.streams import streams_on
from extract.store import Plan
from extract.store.opening import QUEUE_BYTES
from spectra.errors import UsageError

if TYPE_CHECKING:
    import jax


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Groups of as many devices each; a group holds one copy of the model."""

    groups: tuple[tuple[jax.Device, ...], ...]

    @classmethod
    def of(cls, devices: Sequence[jax.Device], degree: int) -> Spread:
        """`degree` devices a copy; those that are left over hold none."""
        starts = range(0, len(devices) - degree + 1, degree)
        return cls(tuple(tuple(devices[start : start + degree]) for start in starts))

    @property
    def degree(self) -> int:
        """Devices that share a copy."""
        return len(self.groups[0])

    @property
    def copies(self) -> int:
        """How many copies there are."""
        return len(self.groups)

    @property
    def devices(self) -> tuple[jax.Device, ...]:
        """All that hold a part of the model."""
        return tuple(device for group in self.groups for device in group)

    @property
    def streams(self) -> int:
        """Batches that one copy computes side by side."""
        return streams_on(self.groups[0], self.copies)

    @property
    def batches(self) -> int:
        """Batches that all copies compute side by side."""
        return self.copies * self.streams


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is computed: blocks up to `top` of a model, in a dtype of `item` bytes, on a plan."""

    spec: DecoderSpec
    top: int
    item: int
    plan: Plan

    @property
    def sizes(self) -> list[int]:
        """Tokens of the batches, padding included, the largest first."""
        shapes = (batch.shape for batch in self.plan.batches)
        return sorted((rows * length for rows, length in shapes), reverse=True)

    def weights_on_one(self, degree: int) -> int:
        """Bytes of the weights that one of `degree` devices holds, the embeddings whole."""
        spec = self.spec
        heads = 2 * _share(spec.num_heads * spec.head_dim, degree)
        heads += 2 * _share(spec.num_kv_heads * spec.head_dim, degree)
        block = spec.hidden_dim * (heads + 3 * _share(spec.mlp_dim, degree))
        return (spec.vocab_size * spec.hidden_dim + self.top * block) * self.item

    def activations_on_one(self, degree: int, streams: int) -> int:
        """Bytes of the largest batches' activations on one of `degree` devices."""
        spec = self.spec
        attention = 2 * spec.num_heads * spec.head_dim
        if spec.num_kv_heads % degree == 0:
            attention //= degree
        width = 4 * spec.hidden_dim + 3 * _share(spec.mlp_dim, degree) + attention
        return sum(self.sizes[:streams]) * width * self.item

    @property
    def waiting(self) -> int:
        """Bytes of states that wait for the disk at most."""
        plan = self.plan
        return min(QUEUE_BYTES, plan.totals.padded_tokens * plan.row_bytes * len(plan.layers))


def choose_degree(asked: int, devices: Sequence[jax.Device], work: Work, max_memory: int) -> int:
    """Devices that share a copy: as many as are asked for, or for 0 the fewest that hold it.

    It is all of them where no number does. It is one where devices do not tell their size, and on
    a CPU, whose devices share one memory, unless `max_memory` is given.
    """
    if asked:
        return asked
    room = _size_of_one(devices, max_memory)
    if room is None:
        return 1
    for degree in range(1, len(devices)):
        if work.weights_on_one(degree) + work.activations_on_one(degree, 1) + work.waiting <= room:
            return degree
    return len(devices)


def check_degree(asked: int, devices: Sequence[jax.Device]) -> None:
    """Raise `UsageError` where more devices are asked for than there are."""
    if asked > len(devices):
        raise UsageError(
            f"tensor_parallel is {asked}, and the devices here are {len(devices)}. Expected at "
            "most so many, or 0 for as few as hold the model."
        )


def _size_of_one(devices: Sequence[jax.Device], max_memory: int) -> int | None:
    """Bytes that the smallest device has to give; None where they are not told."""
    if max_memory:
        return max_memory // len(devices)
    if devices[0].platform == "cpu":
        return None
    sizes = [int((device.memory_stats() or {}).get("bytes_limit", 0)) for device in devices]
    return min(sizes) if min(sizes) > 0 else None


def _share(width: int, degree: int) -> int:
    """Of an axis on one device: all of it where it cannot be cut evenly."""
    return width if width % degree else width // degree
