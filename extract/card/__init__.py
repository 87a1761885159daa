"""The card of a dataset of hidden states: README.md beside the model directories.

With it the folder can be uploaded to the hub as it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from extract.card.text import MARKER, card_text
from extract.store.errors import ForeignCardError
from spectra.artifacts import find_artifacts, open_artifact
from spectra.atomic import write_bytes
from spectra.errors import ArtifactNotFoundError
from spectra.files import stat_regular, unreadable

CARD_NAME = "README.md"

_HEAD_BYTES = 4096
"""The marker stands within these, whatever the models are called."""


def card_path(directory: Path) -> Path:
    """Where the card of a model's directory and its siblings is."""
    return Path(os.path.abspath(directory)).parent / CARD_NAME


def check_card(directory: Path) -> None:
    """Raise what would keep `write_card` from its work, before the directory is there.

    `ForeignCardError` where something else than a card of ours would be replaced, and what
    `open_artifact` raises of the directories beside.
    """
    path = card_path(directory)
    _check_replaceable(path)
    with suppress(ArtifactNotFoundError):
        for other in find_artifacts(path.parent):
            if os.path.abspath(str(other)) != os.path.abspath(directory):
                open_artifact(other)


def _check_replaceable(path: Path) -> None:
    if not os.path.lexists(path):
        return
    stat_regular(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from None
    if MARKER.encode() not in head:
        raise ForeignCardError(
            f"{path} is there and was not written as a card, or is kept by its owner: it lacks the "
            f"line {MARKER!r}. It stays as it is. Move it away, choose another folder, or leave "
            "--push-layout out."
        )


def write_card(directory: Path) -> Path:
    """Write the card of all model directories beside `directory`, itself among them.

    Equal directories give equal bytes. Raises what `check_card` raises, and `OutputError`.
    """
    path = card_path(directory)
    _check_replaceable(path)
    artifacts = map(open_artifact, find_artifacts(path.parent))
    write_bytes(path, card_text(artifacts).encode())
    return path
