"""Writing a run: every file atomically, `run.json` last as the mark that the directory is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from spectra import strict_json
from spectra.atomic import output_error, write_bytes
from spectra.errors import InputError
from spectra.outputs.documents import FILES

RUN_FILE = "run.json"
TABLE_FILE = "metrics.csv"
INFLUENCES_FILE = "trace_influences.csv"
_LARGEST_RUN_FILE = 64 << 20


def commit(out: Path, files: Mapping[str, bytes], run: Mapping[str, Any]) -> None:
    """Write `files` (relative name to content) under `out`, then run.json with their sha256.

    An earlier run.json is removed first, so that a directory without one is unfinished, and files
    of the earlier run that this one does not have are removed after.
    """
    stale = _earlier_outputs(out) - set(files)
    _remove(out / RUN_FILE)
    for name, content in files.items():
        path = out / name
        make_directory(path.parent)
        write_bytes(path, content)
    for name in sorted(stale):
        _remove(out / name)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    document = {**run, "outputs": digests}
    write_bytes(out / RUN_FILE, strict_json.dumps(document).encode())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from None


def make_directory(path: Path) -> None:
    """With the ones above it, where they are not there; raises `OutputError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from None


def is_output_name(name: str) -> bool:
    """Whether a run writes this relative name: [layer_<L>/]pool_<p>/<file> or one of its tables."""
    parts = PurePosixPath(name).parts
    if parts in ((TABLE_FILE,), (INFLUENCES_FILE,)):
        return True
    if parts[:1] and parts[0].startswith("layer_") and parts[0][6:].isdecimal():
        parts = parts[1:]
    return len(parts) == 2 and parts[0].startswith("pool_") and parts[1] in FILES


def _earlier_outputs(out: Path) -> set[str]:
    """The outputs that an earlier run.json lists; none where there is none that can be read."""
    try:
        earlier = strict_json.load(out / RUN_FILE, max_bytes=_LARGEST_RUN_FILE)
    except InputError:
        return set()
    outputs = earlier.get("outputs") if isinstance(earlier, dict) else None
    if not isinstance(outputs, dict):
        return set()
    return {name for name in outputs if is_output_name(name)}
