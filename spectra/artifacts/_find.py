"""From a source, which may be the parent of several, to its model directories."""

from __future__ import annotations

import os
from pathlib import Path

from spectra.artifacts._hub import HubDirectory, Place, is_hub_url
from spectra.artifacts.layout import CONFIG_NAME, INDEX_NAME
from spectra.errors import ArtifactNotFoundError
from spectra.files import unreadable

_EXPECTED = (
    f"Expected one model's directory ({CONFIG_NAME}, {INDEX_NAME}, shards) or the parent of "
    "several."
)


def find_artifacts(src: str | os.PathLike[str]) -> tuple[Place, ...]:
    """The model directories at `src`: itself, or its children by name.

    A model directory is one with a config.json. `src` may be hf://datasets/OWNER/NAME/PATH.

    Raises `ArtifactNotFoundError`, and for the hub what `HubDirectory.at` raises.
    """
    if not is_hub_url(src):
        return _model_directories(Path(src))
    there = HubDirectory.at(os.fspath(src))
    if not there.local.is_dir():
        raise ArtifactNotFoundError(
            f"{there} holds no {CONFIG_NAME}, and no directory in it does. {_EXPECTED} Check the "
            "path; the published layout has them in annotated_traces_reprs."
        )
    return tuple(there.inner(path) for path in _model_directories(there.local))


def _model_directories(src: Path) -> tuple[Path, ...]:
    if os.path.lexists(src / CONFIG_NAME):
        return (src,)
    try:
        children = sorted(src.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactNotFoundError(
            f"{src} is not a directory. {_EXPECTED} Check the path."
        ) from None
    except ValueError as error:  # a NUL in the name
        raise ArtifactNotFoundError(
            f"{str(src)!a} cannot be a directory ({error}). {_EXPECTED} Check the path."
        ) from None
    except OSError as error:
        raise unreadable(src, error) from None
    found = tuple(child for child in children if os.path.lexists(child / CONFIG_NAME))
    if not found:
        raise ArtifactNotFoundError(
            f"{src} holds no {CONFIG_NAME}, and no directory in it does. {_EXPECTED}{_hint(src)}"
        )
    return found


def _hint(src: Path) -> str:
    inner = src / "annotated_traces_reprs"
    if os.path.isdir(inner):
        return f" Give {inner} instead."
    if os.path.exists(src / INDEX_NAME):
        return f" {src} has an {INDEX_NAME} only: its writing or download did not finish."
    return ""
