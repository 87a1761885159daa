"""From what a user calls a model to a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from extract.weights._directory import Origin, open_directory, origin_of
from extract.weights._types import Checkpoint
from extract.weights.errors import (
    ModelNotFoundError,
    NotAModelError,
    RevisionNotApplicableError,
)

_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
_FILE_SUFFIXES = (".gguf", ".safetensors", ".bin", ".json")


def open_checkpoint(model: str, *, revision: str | None = None) -> Checkpoint:
    """Find a model and check that it can be loaded; no weights are read yet.

    Args:
        model: A Hugging Face model directory, a GGUF file, or the hub's name of a model. What
            exists on this machine comes first.
        revision: A branch, tag or commit of the hub's model.

    Raises:
        ModelNotFoundError: Nothing has this name here, and it cannot be a name of the hub.
        NotAModelError: What is there is neither of the two kinds.
        RevisionNotApplicableError: A revision was given and the model is local.
        MissingExtraError: A package for this kind of source is not installed.
        InputError: One class for each way in which the files can be wrong (`errors`).
    """
    path = Path(model)
    if model and path.exists():
        if revision is not None:
            raise RevisionNotApplicableError(
                f"{model} is a local path, and revision {revision!a} was asked of it. Revisions "
                "are the hub's: leave it out, or give the hub's name of the model."
            )
        return _open_local(path)
    if not _HUB_NAME.fullmatch(model) or model.endswith(_FILE_SUFFIXES):
        raise ModelNotFoundError(
            f"{model!a} does not exist, and it cannot be a name of the hub. Expected a model "
            "directory, a .gguf file, or <owner>/<name>."
        )
    from extract.weights._hub import fetch

    snapshot = fetch(model, revision)
    return open_directory(snapshot, Origin(model, snapshot.name))


def _open_local(path: Path) -> Checkpoint:
    if path.is_dir():
        return open_directory(path, origin_of(path))
    if path.suffix.lower() != ".gguf":
        raise NotAModelError(
            f"{path} is not a directory, nor does its name end in .gguf. Expected a GGUF file or "
            "the directory that holds config.json and the safetensors files."
        )
    from extract.weights.gguf import open_gguf

    return open_gguf(path)
