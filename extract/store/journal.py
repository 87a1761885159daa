"""The journal: which batches stand on the disk, so that a killed run goes on where it was.

JSON lines. The first is the record of the extraction (`identity.py`); each further one names a
batch whose rows had reached the disk in all layers before the line was written, and their digests
(`digests.py`). A kill can tear the last line: it is ignored, and so is whatever follows a line that
cannot be read, since computing a batch again is always right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from extract.store.digests import Digests
from extract.store.errors import JournalError, interrupted
from extract.store.plan import Plan
from spectra.atomic import write_bytes
from spectra.errors import InputError
from spectra.files import read_capped
from spectra.strict_json import JSON, JSONObject, dumps, loads

JOURNAL_NAME = "extraction.journal"
_LARGEST_JOURNAL = 1 << 30


class Line(NamedTuple):
    """What a batch's line says, unchecked: its samples' ids, and its rows' digest by layer."""

    samples: JSON
    sha256: JSON


def read_journal(path: Path) -> tuple[JSONObject, dict[int, Line]]:
    """The extraction's record, and what the line of each finished batch says.

    Raises `JournalError` when the first line is no such record.
    """
    first, *others = read_capped(path, _LARGEST_JOURNAL).split(b"\n")
    record = _object(first, path)
    if record is None or not others:
        raise JournalError(
            f"{path}: line 1 is not the record of an extraction; expected a JSON object. The "
            "journal is damaged, so what was computed cannot be used: start over with --fresh."
        )
    finished = dict[int, Line]()
    for line in others:  # the last one is torn, or nothing
        entry = _object(line, path) or {}
        batch = entry.get("batch")
        if type(batch) is not int:
            break
        finished[batch] = Line(entry.get("samples"), entry.get("sha256"))
    return record, finished


def samples_of(plan: Plan, batch: int) -> list[JSON]:
    """What the line of a batch names: its samples' ids."""
    return [plan.samples[sample].entry.sample_id for sample in plan.batches[batch].samples]


class Journal:
    """The journal of a run, open for appending; a context manager."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan

    def begin(self, record: JSONObject, finished: Mapping[int, Digests]) -> None:
        """Replace what is there by the record and these batches, atomically."""
        lines = [
            dumps(record, indent=None),
            *(self._line(*one) for one in sorted(finished.items())),
        ]
        write_bytes(self._path, "".join(lines).encode())

    def __enter__(self) -> Journal:
        try:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise interrupted(self._path, error) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def append(self, batches: Mapping[int, Digests]) -> None:
        """Add batches whose rows are on the disk; on return the lines are there too."""
        text = "".join(self._line(*one) for one in batches.items()).encode()
        try:
            if os.write(self._handle, text) != len(text):
                raise OSError("only a part of a line was written; the disk may be full")
            os.fsync(self._handle)
        except OSError as error:
            raise interrupted(self._path, error) from None

    def _line(self, batch: int, digests: Digests) -> str:
        samples = samples_of(self._plan, batch)
        line = {"batch": batch, "samples": samples, "sha256": list(digests)}
        return dumps(line, indent=None)


def _object(line: bytes, path: Path) -> JSONObject | None:
    try:
        value = loads(line, where=str(path))
    except InputError:
        return None
    return value if isinstance(value, dict) else None
