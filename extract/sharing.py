"""An extraction that several processes share: who computes what, and who says when.

The plan is everyone's. Process 0 opens the store, tells which batches are pending, and commits when
all have written theirs. Each process puts its batches' rows in their planned place in the same
files, so the bytes do not depend on how many processes there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from extract.inputs import Inputs
from extract.store import Batch, Store, extraction_record, join_store, open_store
from extract.store.errors import DirectoryNotSharedError
from extract.store.opening import holder
from extract.store.sink import NonFinite
from extract.tokenizing import Progress
from spectra.distributed import Processes
from spectra.strict_json import JSON, dumps, loads

SEEING = 70.0
"""Seconds until a process must see what process 0 has made: a network's file system may remember
for a minute that nothing was there."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a process wrote: tokens computed, in seconds; by layer, rows that are not finite."""

    tokens: int
    seconds: float
    nonfinite: Mapping[int, NonFinite]


@contextmanager
def shared_store(inputs: Inputs, processes: Processes, progress: Progress) -> Iterator[Store]:
    """The store with this process's batches, once all processes have found that they agree.

    Raises:
        DisagreementError: Another process has other inputs, options or versions.
        DirectoryNotSharedError: Process 0's directory is not to be seen here.
        SpectraError: What `open_store` raises, in process 0.
    """
    config, plan = inputs.config, inputs.plan
    processes.agree("the extraction", extraction_record(plan, inputs.fingerprint))
    copies: list[Any] = processes.gather("copies of the model", inputs.spread.copies)
    if processes.rank == 0:
        with open_store(
            config.out, plan, inputs.fingerprint, fresh=config.fresh, progress=progress
        ) as store:
            pending = None
            if not store.complete:
                pending = [batch.number for batch in store.pending_batches()]
            _tell(processes, {"holder": holder(config.out), "pending": pending})
            store.take(deal(store.pending_batches(), copies)[0])
            yield store
        return
    told, finished = _tell(processes, None), None
    if told["pending"] is not None:  # if all is there, process 0 may have left by now
        _check_seen(inputs, processes, told["holder"])
        finished = frozenset(range(len(plan.batches))).difference(told["pending"])
    rank = processes.rank
    with join_store(config.out, plan, inputs.fingerprint, finished, rank=rank) as store:
        store.take(deal(store.pending_batches(), copies)[rank])
        yield store


def together(processes: Processes, own: Written) -> list[Written]:
    """What each process has written, when all have."""
    found: dict[str, JSON] = {str(layer): list(one) for layer, one in own.nonfinite.items()}
    said: list[Any] = processes.gather("written", [own.tokens, own.seconds, found])
    return [
        Written(tokens, seconds, {int(layer): NonFinite(*one) for layer, one in bad.items()})
        for tokens, seconds, bad in said
    ]


def deal(batches: Sequence[Batch], copies: Sequence[int]) -> list[tuple[Batch, ...]]:
    """Each process's batches, in their order, for processes that hold so many copies of the model.

    The largest batch goes first, and each to the process that is done with it soonest, counted in
    tokens a copy, padding included.
    """
    shares: list[list[Batch]] = [[] for _ in copies]
    loads = [0.0 for _ in copies]
    for batch in sorted(batches, key=lambda batch: (-_tokens(batch), batch.number)):
        done, rank = min(
            (load + _tokens(batch) / number, rank)
            for rank, (load, number) in enumerate(zip(loads, copies, strict=True))
        )
        loads[rank] = done
        shares[rank].append(batch)
    return [tuple(sorted(share, key=lambda batch: batch.number)) for share in shares]


def _tokens(batch: Batch) -> int:
    rows, length = batch.shape
    return rows * length


def _tell(processes: Processes, value: Any) -> Any:
    """What process 0 says. All are there before it says it: it may be long at work until then."""
    processes.gather("store", "open")
    data = dumps(value, indent=None).encode()
    return loads(processes.collect(data)[0], where="what process 0 said")


def _check_seen(inputs: Inputs, processes: Processes, expected: str | None) -> None:
    """Raise `DirectoryNotSharedError` unless the lock is there that process 0 holds."""
    directory, end = inputs.config.out, time.monotonic() + SEEING
    while holder(directory) != expected:
        if time.monotonic() > end:
            raise DirectoryNotSharedError(
                f"{directory} of process {processes.rank} is not the directory of process 0, whose "
                "files are not to be seen there. Expected one directory on a file system that all "
                "processes share."
            )
        time.sleep(0.1)
