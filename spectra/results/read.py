"""From a run's directory to documents, each checked against what run.json says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias, TypeVar

from spectra import strict_json
from spectra.errors import ResultsChangedError, ResultsFormatError
from spectra.files import read_capped
from spectra.json_fields import show
from spectra.outputs import FILES, LAYERS_FILE, RUN_FILE
from spectra.outputs.commit import is_output_name
from spectra.outputs.documents import FORMAT_VERSION
from spectra.results.shape import check_documents, check_profile, check_run

Folders: TypeAlias = Mapping[tuple[int, str], str]
"""Layer and pool to the folder of their files, relative to the run's directory."""

MAX_BYTES = 1 << 30

_Made = TypeVar("_Made")


def run_record(path: Path) -> dict[str, Any]:
    """run.json of the directory."""
    file = path / RUN_FILE
    run = strict_json.load(file, max_bytes=MAX_BYTES)
    if not isinstance(run, dict) or run.get("format_version") != FORMAT_VERSION:
        found = run.get("format_version") if isinstance(run, dict) else type(run).__name__
        raise ResultsFormatError(
            f"{file}: format_version is {show(found)}; expected {FORMAT_VERSION}. It may come from "
            "another version of Spectra: run it again with this one."
        )
    check_run(file, run)
    return run


def pool_folders(path: Path, run: Mapping[str, Any]) -> tuple[int, Folders]:
    """The layer that lies at the top (else the first), and the folder of each layer and pool."""
    with _shape(path / RUN_FILE):
        layers = run["layers"]
        folders = dict.fromkeys(
            PurePosixPath(name).parent
            for name in run["outputs"]
            if is_output_name(name) and PurePosixPath(name).name in FILES
        )
        if not folders:
            raise ValueError("outputs lists no metric files")
        named = {
            folder: int(folder.parts[0].removeprefix("layer_"))
            for folder in folders
            if len(folder.parts) == 2
        }
        top = [layer for layer in layers if layer not in named.values()]
        primary = top[0] if top else layers[0]
        return primary, {
            (named.get(folder, primary), folder.name.removeprefix("pool_")): str(folder)
            for folder in folders
        }


def pool_documents(
    path: Path, folder: str, run: Mapping[str, Any], make: Callable[[dict[str, Any]], _Made]
) -> _Made:
    """What `make` makes of a folder's four documents.

    Raises:
        ResultsChangedError: a file is not the one that the run wrote.
        ResultsFormatError: a document has not the shape of its kind, or they do not fit together.
    """
    documents = {name: _document(path, f"{folder}/{name}", run) for name in FILES}
    check_documents(path / folder, documents)
    with _shape(path / folder):
        return make(documents)


def profile_document(path: Path, run: Mapping[str, Any], folders: Folders) -> dict[str, Any]:
    """layer_profile.json of a run of several layers.

    Raises:
        ResultsChangedError: it is not the one that the run wrote.
        ResultsFormatError: it has not the shape of its kind, or is of other layers or pools.
    """
    if LAYERS_FILE not in run["outputs"]:
        raise ResultsFormatError(
            f"{path / RUN_FILE}: outputs lists files of several layers and no {LAYERS_FILE}. It "
            "was changed after its run, or another version wrote it: run it again."
        )
    document: dict[str, Any] = _document(path, LAYERS_FILE, run)
    check_profile(path / LAYERS_FILE, document, folders)
    return document


def _document(path: Path, name: str, run: Mapping[str, Any]) -> Any:
    content = read_capped(path / name, MAX_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    if digest != run["outputs"].get(name):
        raise ResultsChangedError(
            f"{path / name} is not the file that {path / RUN_FILE} lists: its SHA-256 is {digest}, "
            f"expected {run['outputs'].get(name)}. It was changed or copied in part; copy the "
            "directory whole, or run it again."
        )
    return strict_json.loads(content, where=str(path / name))


@contextmanager
def _shape(where: Path) -> Iterator[None]:
    """The one error for whatever a document that is not ours runs into."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ResultsFormatError(
            f"{where}: {type(error).__name__} {str(error)[:200]!a} while it was read. Expected "
            "what `spectra run` of this version writes; run it again."
        ) from None
