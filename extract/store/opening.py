"""Opening a store: the lock, what an earlier run left, the files, the writer, in this order.

Several processes may fill one store: the first opens it, the others join. Each has a journal of its
own, so that none waits for another's disk, and each a lock of its own, so that no run begins while
one of the last is still there. The journals of the others are taken into the first one's when the
store is opened again, by however many processes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from extract.store import standing
from extract.store.digests import Digests, Progress, sound
from extract.store.identity import extraction_record
from extract.store.journal import JOURNAL_NAME, Journal
from extract.store.plan import Plan
from extract.store.shards import ShardFiles
from extract.store.sink import Sink
from extract.store.store import Session, Store
from extract.store.writer import BackgroundWriter
from spectra.atomic import sweep
from spectra.lock import locked
from spectra.strict_json import JSON, JSONObject

LOCK_NAME = "extraction.lock"

QUEUE_BYTES = 1 << 30
"""States that may wait for the disk; on a device they hold its memory until then."""

JOURNAL_INTERVAL = 1.0
"""Seconds of work that a kill may lose, beside the batch being computed."""


@contextmanager
def open_store(
    directory: Path,
    plan: Plan,
    fingerprint: Mapping[str, JSON],
    *,
    fresh: bool = False,
    queue_bytes: int = QUEUE_BYTES,
    progress: Progress = lambda *_: None,
) -> Iterator[Store]:
    """The store of `plan` in `directory`, new, or where the run before left it.

    Leaving the block normally writes what is queued; leaving it by an exception drops that. Either
    way the directory can be opened again and goes on from its finished batches. Their rows are
    read once and compared with what was written; where they differ, the batch is pending again.

    Args:
        directory: Made where absent. Files that are no part of an artifact stay untouched.
        plan: What to write.
        fingerprint: Whatever else decides the bytes: weights, options, versions. A directory that
            was begun with another plan or fingerprint is refused.
        fresh: Delete what the directory has of an artifact, finished or not, and start over.
        queue_bytes: States that may wait for the disk.
        progress: Told of the stage "checking", the reading of what an earlier run wrote.

    Raises:
        UsageError: `DirectoryBusyError`, `FingerprintMismatchError`, `ForeignArtifactError`.
        InputError: `JournalError`, `DamagedArtifactError`, or what reading config.json raises.
        OutputError: `DiskSpaceError`, or the operating system refuses.
    """
    standing.check_place(directory)
    record = extraction_record(plan, fingerprint)
    with locked(directory, LOCK_NAME):
        _check_alone(directory)
        if not fresh and standing.is_complete(directory, record):
            standing.drop_journals(directory)
            yield Store(directory, plan, record, None)
            return
        files = ShardFiles(directory, plan)
        journal = Journal(directory / JOURNAL_NAME, plan)
        if fresh:
            _clear(directory, plan)
        finished, warnings = _make_ready(directory, plan, record, files, journal, progress)
        sink = Sink(plan, files, journal)
        with _session(files, journal, sink, finished, warnings, queue_bytes) as session:
            yield Store(directory, plan, record, session)
            session.writer.drain()


@contextmanager
def join_store(
    directory: Path,
    plan: Plan,
    fingerprint: Mapping[str, JSON],
    finished: frozenset[int] | None,
    *,
    rank: int,
    queue_bytes: int = QUEUE_BYTES,
) -> Iterator[Store]:
    """The store that process 0 has open and fills too, for process `rank`; only that one commits.

    Args:
        directory: Process 0's, on a file system that both have.
        plan: Process 0's.
        fingerprint: Process 0's.
        finished: The numbers of the batches that process 0 found finished; None if it found the
            artifact whole.
        rank: From 1, another one in each process.
        queue_bytes: States that may wait for the disk.

    Raises:
        UsageError: `DirectoryBusyError`, if a process of an earlier run is still there.
        OutputError: The operating system refuses.
    """
    record = extraction_record(plan, fingerprint)
    if finished is None:
        yield Store(directory, plan, record, None)
        return
    with locked(directory, f"{LOCK_NAME}-{rank}"):
        files = ShardFiles(directory, plan)
        journal = Journal(directory / f"{JOURNAL_NAME}-{rank}", plan)
        journal.begin(record, {})
        sink = Sink(plan, files, journal)
        with _session(files, journal, sink, finished, (), queue_bytes) as session:
            yield Store(directory, plan, record, session)
            session.writer.drain()


def holder(directory: Path) -> str | None:
    """Who has the store of a directory open, process and host; None where nobody is seen to."""
    try:
        return (directory / LOCK_NAME).read_text(errors="replace")
    except OSError:
        return None


@contextmanager
def _session(
    files: ShardFiles,
    journal: Journal,
    sink: Sink,
    finished: Collection[int],
    warnings: tuple[str, ...],
    queue_bytes: int,
) -> Iterator[Session]:
    """The writer at work, and its files open."""
    with closing(files), journal:
        writer = BackgroundWriter(sink.settle, limit=queue_bytes, interval=JOURNAL_INTERVAL)
        try:
            yield Session(files, sink, writer, finished, warnings)
        finally:
            writer.close(discard=True)


def _check_alone(directory: Path) -> None:
    """Raise `DirectoryBusyError` while a process that joined an earlier run is there."""
    for path in sorted(directory.glob(f"{LOCK_NAME}-*")):
        with locked(directory, path.name):
            pass  # a killed one left it, and it is gone now


def _make_ready(
    directory: Path,
    plan: Plan,
    record: JSONObject,
    files: ShardFiles,
    journal: Journal,
    progress: Progress,
) -> tuple[Mapping[int, Digests], tuple[str, ...]]:
    """Journal and shards, in this order; the finished batches, and warnings of those that were."""
    missing = files.missing()
    told = standing.told_batches(directory, plan, record, missing)
    standing.check_space(directory, files.to_reserve(missing))
    finished, warnings = sound(plan, files, told, progress)
    sweep(directory)
    journal.begin(record, finished)
    standing.drop_journals(directory, others=True)
    files.create(missing)
    return finished, warnings


def _clear(directory: Path, plan: Plan) -> None:
    """For a fresh start, if the disk has room for it."""
    freed = standing.owned_bytes(directory)
    standing.check_space(directory, plan.totals.bytes, freed=freed)
    standing.clear(directory)
