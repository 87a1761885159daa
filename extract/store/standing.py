"""What stands in a directory before a run: to go on with, to refuse, to clear away."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from extract.store.errors import (
    DamagedArtifactError,
    DiskSpaceError,
    FingerprintMismatchError,
    ForeignArtifactError,
    NotADirectoryPathError,
    interrupted,
)
from extract.store.identity import differences
from extract.store.journal import JOURNAL_NAME, Line, read_journal, samples_of
from extract.store.plan import Plan
from extract.store.shards import ShardFile, allocated
from spectra.artifacts import open_artifact
from spectra.artifacts.layout import CONFIG_NAME, LARGEST_CONFIG
from spectra.atomic import sync_directory
from spectra.errors import InputError
from spectra.strict_json import JSON, JSONObject, load

RECORD_NAME = "extraction"
"""The field of config.json that holds the record."""

_MOST_FIELDS = 20

_JOURNALS = re.compile(rf"{re.escape(JOURNAL_NAME)}(-\d+)?")
_OWNED = re.compile(r"index\.json|hidden_states_layer\d+_shard\d+\.safetensors(\.partial)?")


def check_place(directory: Path) -> None:
    """Refuse a place where no artifact may be written, whatever the plan.

    Raises `NotADirectoryPathError`, or `ForeignArtifactError` for a config.json that is no
    artifact's, as a model's is not: it would be replaced in the end, and by a fresh start at once.
    """
    if os.path.lexists(directory) and not directory.is_dir():
        raise NotADirectoryPathError(
            f"{directory} is there and is not a directory. Expected the artifact's directory, or "
            "a name that is free; choose another."
        )
    path = directory / CONFIG_NAME
    if not path.exists():
        return
    config = load(path, max_bytes=LARGEST_CONFIG)
    if not isinstance(config, dict) or "shards" not in config:
        raise ForeignArtifactError(
            f"{path} is not an artifact's: it has no field 'shards'. It may be a model's, and "
            "this run would replace it. Choose another directory."
        )


def is_complete(directory: Path, record: JSONObject) -> bool:
    """Whether the directory already holds the whole artifact of this record.

    Raises `ForeignArtifactError`, `FingerprintMismatchError` or `DamagedArtifactError` for one
    that is another's, of another record, or no longer readable.
    """
    path = directory / CONFIG_NAME
    if not path.exists():
        return False
    config = load(path, max_bytes=LARGEST_CONFIG)
    found = config.get(RECORD_NAME) if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise _foreign(directory, f"an artifact whose {CONFIG_NAME} tells of no extraction")
    _check_same(directory, found, record)
    try:
        open_artifact(directory)
    except InputError as error:
        raise DamagedArtifactError(
            f"{directory} was extracted completely, but can no longer be read: {error} "
            "To extract it again, start over with --fresh."
        ) from None
    return True


def told_batches(
    directory: Path, plan: Plan, record: JSONObject, missing: Iterable[ShardFile]
) -> dict[int, JSON]:
    """What the journals have for digests of the batches whose shards are not among `missing`.

    Raises `ForeignArtifactError` where shards lie without a journal, and what `is_complete`
    raises for another record.
    """
    journals = list(_named(directory, _JOURNALS))
    if not journals:
        stray = next(_named(directory, _OWNED), None)
        if stray is not None:
            raise _foreign(directory, f"{stray.name} and no journal of an extraction")
        return {}
    lines = dict[int, Line]()
    for path in journals:
        found, told = read_journal(path)
        _check_same(directory, found, record)
        lines |= told
    lost = {file.number for file in missing}
    # By its samples too: a number that damage changed would leave the rows of a batch unwritten.
    return {
        batch.number: lines[batch.number].sha256
        for batch in plan.batches
        if batch.number in lines
        and lines[batch.number].samples == samples_of(plan, batch.number)
        and lost.isdisjoint(map(plan.shard_of, batch.samples))
    }


def check_space(directory: Path, needed: int, *, freed: int = 0) -> None:
    """Raise `DiskSpaceError` unless the disk has `needed` bytes once `freed` are given back."""
    try:
        free = shutil.disk_usage(directory).free + freed
    except OSError as error:
        raise interrupted(directory, error) from None
    if needed > free:
        raise DiskSpaceError(
            f"{directory}: the shards need {needed:,} bytes more, and the disk has {free:,} free. "
            f"Free {needed - free:,} bytes, save fewer layers, keep step tokens only, or choose a "
            "directory on another disk."
        )


def clear(directory: Path) -> None:
    """Remove what an artifact or an extraction left, config.json first and the journals next.

    So no config lists files that are gone and no journal tells of them, whenever it is stopped.
    """
    _remove(directory, [directory / CONFIG_NAME])
    drop_journals(directory)
    _remove(directory, _named(directory, _OWNED))


def drop_journals(directory: Path, *, others: bool = False) -> None:
    """Remove the journals, process 0's last; `others` leaves that."""
    found = sorted(_named(directory, _JOURNALS), reverse=True)
    _remove(directory, [path for path in found if not (others and path.name == JOURNAL_NAME)])


def owned_bytes(directory: Path) -> int:
    """Bytes of disk that `clear` gives back."""
    return sum(allocated(path) for path in _named(directory, _OWNED))


def _named(directory: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if pattern.fullmatch(path.name):
            yield path


def _remove(directory: Path, paths: Iterable[Path]) -> None:
    try:
        for path in paths:
            path.unlink(missing_ok=True)
        sync_directory(directory)
    except OSError as error:
        raise interrupted(directory, error) from None


def _check_same(directory: Path, found: JSONObject, record: JSONObject) -> None:
    fields = differences(found, record)
    if fields:
        more = f"; and {len(fields) - _MOST_FIELDS} more" if len(fields) > _MOST_FIELDS else ""
        raise FingerprintMismatchError(
            f"{directory} holds an extraction that differs from this one: "
            f"{'; '.join(fields[:_MOST_FIELDS])}{more}. "
            "Repeat the old options to go on with it, choose another directory, or start over "
            "with --fresh, which deletes what is there."
        )


def _foreign(directory: Path, what: str) -> ForeignArtifactError:
    return ForeignArtifactError(
        f"{directory} holds {what}, so this run did not begin it. Expected an empty directory or "
        "one that the same command left: choose another, or give --fresh to delete what is there."
    )
