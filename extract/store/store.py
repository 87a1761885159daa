"""A directory that fills up batch by batch, survives being killed, and ends as an artifact.

Order, so that a kill at any moment loses a second's work and no more: the journal's first line,
then the shards at their full size and named `….partial`; for each batch the rows, a flush of the
files they are in, the batch's line in the journal; at the end the final names, index.json,
config.json, and the journal goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from extract.store import standing
from extract.store.buckets import Batch
from extract.store.documents import artifact_documents
from extract.store.errors import UnfinishedStoreError
from extract.store.plan import Plan
from extract.store.shards import ShardFiles
from extract.store.sink import NonFinite, Sink, States
from extract.store.writer import BackgroundWriter
from spectra.artifacts.layout import NO_EXTRA
from spectra.artifacts.rows import DTYPES
from spectra.artifacts.write import check_documents, write_documents
from spectra.errors import ShardDtypeError, ShardShapeError
from spectra.strict_json import JSONObject


@dataclass(frozen=True, slots=True)
class Session:
    """What a store that is not complete works with."""

    files: ShardFiles
    sink: Sink
    writer: BackgroundWriter
    finished: Collection[int]
    warnings: tuple[str, ...]


class Store:
    """A directory being filled; made by `open_store`, used from one thread."""

    def __init__(
        self, directory: Path, plan: Plan, record: JSONObject, session: Session | None
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._record = record
        self._session = session
        finished = session.finished if session else range(len(plan.batches))
        self._pending = tuple(batch for batch in plan.batches if batch.number not in finished)
        layers = {layer.index for layer in plan.layers}
        self._missing = {batch.number: set(layers) for batch in self._pending}
        unfinished = {sample for batch in self._pending for sample in batch.samples}
        self._finished = frozenset(range(len(plan.samples))) - unfinished
        self._warnings = session.warnings if session else ()

    @property
    def complete(self) -> bool:
        """Whether the artifact is whole; there is nothing to do then."""
        return self._session is None

    @property
    def finished(self) -> frozenset[int]:
        """The numbers of the samples that were whole, or had no row to write, on opening."""
        return self._finished

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what an earlier run wrote and the disk lost, and after `commit` on states.

        On those that this run wrote and that are not finite.
        """
        return self._warnings

    def pending_batches(self) -> tuple[Batch, ...]:
        """The batches that were not finished on opening, longest first."""
        return self._pending

    def take(self, batches: Iterable[Batch]) -> None:
        """Leave all pending batches but these to other processes, before any is written."""
        self._pending = tuple(batches)
        layers = {layer.index for layer in self._plan.layers}
        self._missing = {batch.number: set(layers) for batch in self._pending}

    def write(self, batch: Batch, states: Mapping[int, States]) -> None:
        """Queue the batch's states of some or all layers; waits while the queue is full.

        Args:
            batch: A pending one. It counts as finished once all layers have been given.
            states: By layer, [B, T, hidden_dim] in the storage dtype. They are read later, on
                another thread: they may be neither changed nor donated.

        Raises:
            OutputError: An earlier write failed; so do all later calls.
            ShardShapeError, ShardDtypeError: The array does not fit the plan.
            ValueError: The batch's layer is not asked for, or was given before.
        """
        for layer, array in states.items():
            self._check(batch, layer, array)
        assert self._session is not None  # a complete store has no pending batch
        writer, sink = self._session.writer, self._session.sink
        missing = self._missing[batch.number]
        for layer, array in states.items():
            if not isinstance(array, np.ndarray):
                array.copy_to_host_async()
            writer.submit(partial(sink.put, batch, layer, array), array.nbytes)
            missing.discard(layer)
        if not missing:
            del self._missing[batch.number]
            writer.submit(partial(sink.finish, batch.number), 0)

    def settle(self) -> Mapping[int, NonFinite]:
        """Return when all batches are on the disk; by layer, what this run wrote not finite.

        Raises:
            UnfinishedStoreError: A batch was not written.
            OutputError: The operating system refuses.
        """
        if self._session is None:
            return {}
        self._session.writer.drain()
        self._check_finished()
        return dict(self._session.sink.nonfinite)

    def hear(self, found: Mapping[int, NonFinite]) -> None:
        """Have `commit` tell what another process wrote not finite."""
        if self._session is not None:
            self._session.sink.add_nonfinite(found)

    def commit(
        self,
        *,
        model: str,
        primary: int | None = None,
        config_extra: JSONObject = NO_EXTRA,
        index_extra: JSONObject = NO_EXTRA,
    ) -> Path:
        """Make the directory an artifact and return it; nothing where it is one already.

        Args:
            model: The model's name.
            primary: The layer that config.json's `shards` describe; the last one by default.
            config_extra: Further fields of config.json; those of the layout win over them.
            index_extra: Further fields of index.json, likewise.

        Raises:
            UnfinishedStoreError: A batch was not written.
            InputError: The reader would refuse config.json or index.json.
            OutputError: The operating system refuses.
        """
        if self._session is None:
            return self._directory
        told = sorted(self.settle().items())
        self._warnings += tuple(self._nonfinite_warning(*one) for one in told)
        config, index = artifact_documents(
            self._plan,
            self._record,
            model=model,
            primary=primary,
            config_extra=config_extra,
            index_extra=index_extra,
        )
        check_documents(self._directory, config, index)
        self._session.files.publish()
        write_documents(self._directory, config, index)
        standing.drop_journals(self._directory)
        self._session = None
        return self._directory

    def _nonfinite_warning(self, layer: int, found: NonFinite) -> str:
        sample = self._plan.samples[found.sample].entry.sample_id
        return (
            f"layer {layer}: {found.rows:,} of the rows computed now hold NaN or infinity, that of "
            f"token {found.token} of sample {sample!r} for one. They are written as they are, and "
            "`spectra run` gives their groups no value (or leaves them out, with --nonfinite "
            "drop). Look at the model's weights and at --compute-dtype."
        )

    def _check(self, batch: Batch, layer: int, array: States) -> None:
        if layer not in self._missing.get(batch.number, ()):
            raise ValueError(
                f"layer {layer} of batch {batch.number} is not planned or was written before"
            )
        shape = (*batch.shape, self._plan.hidden_dim)
        if array.shape != shape:
            raise ShardShapeError(
                f"Batch {batch.number}, layer {layer}: the states have shape {list(array.shape)}; "
                f"expected {list(shape)} (rows, tokens, hidden_dim)."
            )
        if array.dtype != DTYPES[self._plan.storage_dtype]:
            raise ShardDtypeError(
                f"Batch {batch.number}, layer {layer}: the states are of dtype {array.dtype}; "
                f"expected {self._plan.storage_dtype}. Convert them first."
            )

    def _check_finished(self) -> None:
        if self._missing:
            raise UnfinishedStoreError(
                f"{self._directory}: {len(self._missing)} of {len(self._plan.batches)} batches "
                f"were not written in all layers, the first being number {min(self._missing)}. "
                "What is finished is kept; run the same command again to go on."
            )
