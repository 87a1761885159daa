"""Whether the run.json that gives a run its options is of the same hidden states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra.printable import printable

if TYPE_CHECKING:
    from spectra.artifacts import Place

_DOCUMENTS: tuple[str, ...] = ("config.json", "index.json")


def other_input(file: Path | None, src: str | Path) -> str | None:
    """A sentence where `file` is the record of a run on others than those at `src`; else None.

    They are told apart by config.json and index.json, as run.json has their hashes. Raises what
    `find_artifacts` raises.
    """
    from spectra.artifacts import find_artifacts

    recorded = {} if file is None or file.suffix != ".json" else _recorded(file)
    wanted = {name: recorded[name] for name in _DOCUMENTS if name in recorded}
    if not wanted or any(_matches(place, wanted) for place in find_artifacts(src)):
        return None
    return (
        f"{file} tells of a run on other hidden states: {' and '.join(wanted)} had other SHA-256s "
        f"than in {printable(str(src))}. Its options are used all the same."
    )


def _recorded(file: Path) -> dict[str, Any]:
    from spectra import strict_json
    from spectra.cli._config import LARGEST

    document = strict_json.load(file, max_bytes=LARGEST)
    recorded = document.get("input") if isinstance(document, dict) else None
    files = recorded.get("files") if isinstance(recorded, dict) else None
    return dict(files) if isinstance(files, dict) else {}


def _matches(place: Place, wanted: dict[str, Any]) -> bool:
    from spectra.artifacts import digest_file
    from spectra.errors import InputError

    directory = place if isinstance(place, Path) else place.local
    try:
        found = {name: digest_file(directory, name).sha256 for name in wanted}
    except InputError:
        return True  # the run itself will say what is wrong with it
    return all(
        isinstance(entry, dict) and entry.get("sha256") == found[name]
        for name, entry in wanted.items()
    )
