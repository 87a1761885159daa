"""What an earlier run wrote, against the digests that its journal has of it.

Between two runs a disk may lose or change what it took, and once the artifact is whole nothing
tells its rows from right ones. So the line of each batch has a digest of every layer's rows, taken
before they were written, and a run that goes on reads them once: a batch whose rows are not what
they were is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from extract.store.plan import Plan
from extract.store.shards import ShardFiles
from spectra.strict_json import JSON

Digests: TypeAlias = "tuple[str, ...]"
"""Of a batch: one for each layer of the plan, in its order."""

Progress: TypeAlias = "Callable[[str, int, int], object]"
"""Told the stage, how much of it is done, and its whole."""

_LENGTH = 16
_MOST_NAMED = 5


def digest(pieces: Iterable[memoryview]) -> str:
    """Of one layer's kept rows of a batch: the first 64 bits of their SHA-256, in hexadecimal.

    Enough against accidents, and whoever means harm can write the journal too.
    """
    made = hashlib.sha256()
    for piece in pieces:
        made.update(piece)
    return made.hexdigest()[:_LENGTH]


def sound(
    plan: Plan, files: ShardFiles, told: Mapping[int, JSON], progress: Progress
) -> tuple[dict[int, Digests], tuple[str, ...]]:
    """Of the batches that a journal tells of, those whose rows are on the disk as it says.

    Args:
        plan: What is written.
        files: Where; the shards of these batches are all there.
        told: What the journal has for digests, by batch.
        progress: Told the stage "checking", in batches.

    Returns:
        The digests of the sound batches, and sentences on the others.

    Raises:
        InputError: A shard cannot be read.
    """
    kept: dict[int, Digests] = {}
    nameless: list[int] = []
    damaged: dict[int, list[int]] = {}
    for done, (batch, said) in enumerate(told.items()):
        progress("checking", done, len(told))
        if not isinstance(said, list) or len(said) != len(plan.layers):
            nameless.append(batch)
            continue
        found = tuple(digest(_pieces(plan, files, batch, layer.index)) for layer in plan.layers)
        wrong = [
            layer.index
            for layer, one, other in zip(plan.layers, found, said, strict=True)
            if one != other
        ]
        if wrong:
            damaged[batch] = wrong
        else:
            kept[batch] = found
    return kept, tuple(_sentences(plan, files, len(told), nameless, damaged))


def _pieces(plan: Plan, files: ShardFiles, batch: int, layer: int) -> Iterator[memoryview]:
    for number in plan.batches[batch].samples:
        entry = plan.samples[number].entry
        yield from files.read(layer, entry.global_offset, entry.num_tokens)


def _sentences(
    plan: Plan, files: ShardFiles, told: int, nameless: list[int], damaged: Mapping[int, list[int]]
) -> Iterator[str]:
    if nameless:
        yield (
            f"the journal has no hashes of {len(nameless):,} of the {told:,} batches that it tells "
            "of, so an older version wrote it, or it is damaged: they are computed again."
        )
    if damaged:
        paths = {
            files.path(layer, plan.shard_of(sample)).name: None
            for batch, layers in damaged.items()
            for layer in layers
            for sample in plan.batches[batch].samples
        }
        names = ", ".join(list(paths)[:_MOST_NAMED])
        more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
        yield (
            f"{len(damaged):,} of the {told:,} batches that were finished earlier are not on the "
            f"disk as they were written, in {names}{more}: they are computed again. Something "
            "else wrote to the directory, or the disk loses data."
        )
