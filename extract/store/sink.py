"""The end of the line for states: rows into shards, then batches into the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from extract.store.buckets import Batch
from extract.store.digests import Digests, digest
from extract.store.journal import Journal
from extract.store.plan import Plan
from extract.store.shards import ShardFiles
from spectra.finite import nonfinite_rows

if TYPE_CHECKING:
    import jax

States: TypeAlias = "NDArray[Any] | jax.Array"
"""One layer of a batch, [B, T, hidden_dim] in the storage dtype."""


class NonFinite(NamedTuple):
    """How many rows hold NaN or infinity; a sample, by number, and its token where one does."""

    rows: int
    sample: int
    token: int


class Sink:
    """Takes batches on the writer's thread."""

    def __init__(self, plan: Plan, files: ShardFiles, journal: Journal) -> None:
        self._plan = plan
        self._files = files
        self._journal = journal
        self._digests: dict[int, dict[int, str]] = {}
        self._written: dict[int, Digests] = {}
        self.nonfinite: dict[int, NonFinite] = {}
        """Of each layer, the rows written here that hold NaN or infinity, if any."""

    def put(self, batch: Batch, layer: int, states: States) -> None:
        """Write the kept rows of one layer."""
        host = np.ascontiguousarray(states)
        kept = list(self._kept(batch, host))
        # Before anything is written: what is on the disk is to be held against what it should be.
        made = digest(rows.view(np.uint8).reshape(-1).data for *_, rows in kept)
        self._digests.setdefault(batch.number, {})[layer] = made
        for number, token, offset, rows in kept:
            self._look(layer, number, token, rows)
            self._files.write(layer, offset, rows)

    def _kept(
        self, batch: Batch, host: NDArray[Any]
    ) -> Iterator[tuple[int, int, int, NDArray[Any]]]:
        """Of each run of kept rows the sample, the first token, the place in the layer, all."""
        for row, number in enumerate(batch.samples):
            sample = self._plan.samples[number]
            offset = sample.entry.global_offset
            for start, end in sample.kept:
                yield number, start, offset, host[row, start:end]
                offset += end - start

    def _look(self, layer: int, sample: int, start: int, rows: NDArray[Any]) -> None:
        bad = nonfinite_rows(rows)
        if len(bad):
            told = self.nonfinite.setdefault(layer, NonFinite(0, sample, start + int(bad[0])))
            self.nonfinite[layer] = told._replace(rows=told.rows + len(bad))

    def add_nonfinite(self, found: Mapping[int, NonFinite]) -> None:
        """Add what another process found; the example told is the first one here."""
        for layer, other in found.items():
            told = self.nonfinite.get(layer, other._replace(rows=0))
            self.nonfinite[layer] = told._replace(rows=told.rows + other.rows)

    def finish(self, batch: int) -> None:
        """Note that all layers of the batch were put."""
        made = self._digests.pop(batch)
        self._written[batch] = tuple(made[layer.index] for layer in self._plan.layers)

    def settle(self) -> None:
        """Flush the shards; only then may the journal tell of the batches."""
        self._files.sync()
        if self._written:
            self._journal.append(self._written)
            self._written.clear()
