"""A process of a distributed extraction that dawdles: `-m tests.extract_process WHEN FLAGS…`.

It journals at once and takes its time over every batch, so that there is a middle to be killed in.
After WHEN batches, if that is not 0, it finds its disk full.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from extract.store import Batch, Store, opening
from spectra.cli import main
from spectra.errors import OutputError

PAUSE = 0.15
"""Seconds that a batch takes longer."""

_write = Store.write


def slowed(full_after: int) -> Any:
    """`Store.write`, slower, and failing in the end."""
    written: list[int] = []

    def write(store: Store, batch: Batch, states: Mapping[int, Any]) -> None:
        written.append(batch.number)
        if full_after and len(written) > full_after:
            raise OutputError("the disk of this process is full.")
        time.sleep(PAUSE)
        _write(store, batch, states)

    return write


if __name__ == "__main__":
    opening.JOURNAL_INTERVAL = 0.02
    Store.write = slowed(int(sys.argv.pop(1)))  # type: ignore[method-assign]
    main()
