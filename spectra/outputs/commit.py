"""Writing a run: its files together, `run.json` as the mark that they are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

from spectra import strict_json
from spectra.atomic import sweep, write_together
from spectra.errors import InputError
from spectra.lock import locked
from spectra.outputs.documents import FILES
from spectra.outputs.layers import LAYERS_FILE

RUN_FILE = "run.json"
LOCK_FILE = "run.lock"
TABLE_FILE = "metrics.csv"
INFLUENCES_FILE = "trace_influences.csv"
_LARGEST_RUN_FILE = 64 << 20


def run_lock(out: Path) -> AbstractContextManager[None]:
    """What one run at a time holds, from before the computing to the end.

    A file system without locks is no reason to stop: a mixture of two runs' files would not be
    those that run.json lists.
    """
    return locked(out, LOCK_FILE, required=False)


def commit(out: Path, files: Mapping[str, bytes], run: Mapping[str, Any]) -> None:
    """Write `files` (relative name to content) under `out`, and run.json with their sha256.

    An earlier run's files stand until all of these are on the disk. Then its run.json is removed
    first and the new one comes last, so that a directory without one is unfinished; what the
    earlier run had and this one has not is removed too. The directory is locked by the caller.
    """
    for directory in (out, *out.glob("pool_*"), *out.glob("layer_*/pool_*")):
        if directory.is_dir():
            sweep(directory)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    record = strict_json.dumps({**run, "outputs": digests}).encode()
    contents = {out / name: content for name, content in files.items()}
    gone = [out / name for name in sorted(_earlier_outputs(out) - set(files))]
    write_together({**contents, out / RUN_FILE: record}, out / RUN_FILE, gone)


def is_output_name(name: str) -> bool:
    """Whether a run writes this relative name: [layer_<L>/]pool_<p>/<file>, or one at the top."""
    parts = PurePosixPath(name).parts
    if parts in ((TABLE_FILE,), (INFLUENCES_FILE,), (LAYERS_FILE,)):
        return True
    if parts[:1] and parts[0].startswith("layer_") and parts[0][6:].isdecimal():
        parts = parts[1:]
    return len(parts) == 2 and parts[0].startswith("pool_") and parts[1] in FILES


def output_files(out: Path) -> set[str]:
    """The relative names of all files under `out` that a run writes, run.json aside."""
    return {
        str(file.relative_to(out))
        for pattern in ("*.csv", LAYERS_FILE, "pool_*/*.json", "layer_*/pool_*/*.json")
        for file in out.glob(pattern)
        if is_output_name(str(file.relative_to(out)))
    }


def _earlier_outputs(out: Path) -> set[str]:
    """What an earlier run.json lists; where none can be read, whatever an unfinished run left."""
    try:
        earlier = strict_json.load(out / RUN_FILE, max_bytes=_LARGEST_RUN_FILE)
    except InputError:
        return output_files(out)
    outputs = earlier.get("outputs") if isinstance(earlier, dict) else None
    if not isinstance(outputs, dict):
        return output_files(out)
    return {name for name in outputs if is_output_name(name)}
