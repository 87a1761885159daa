"""Models of the hub by name: downloaded once into huggingface_hub's cache, at a known commit.

The small files are fetched first; they say which files of weights the model is, and only those
follow, from the same commit.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extract.weights._directory import CONFIG_NAME
from extract.weights._shards import INDEX_NAME, SINGLE_NAME, read_index
from extract.weights._texts import (
    SPECIAL_TOKENS_NAME,
    TEMPLATE_NAME,
    TOKENIZER_CONFIG_NAME,
    TOKENIZER_NAME,
)
from extract.weights.errors import (
    DownloadError,
    GatedRepositoryError,
    ModelNotFoundError,
    NotInCacheError,
    UnknownRepositoryError,
    UnknownRevisionError,
)
from spectra.errors import InputError
from spectra.extras import require

_SMALL = (
    CONFIG_NAME,
    INDEX_NAME,
    TOKENIZER_NAME,
    TOKENIZER_CONFIG_NAME,
    SPECIAL_TOKENS_NAME,
    TEMPLATE_NAME,
)


def fetch(repository: str, revision: str | None) -> Path:
    """The cache's directory of the model at `revision` ("main" by default), complete.

    Its name is the commit. Nothing is downloaded that the cache has; with HF_HUB_OFFLINE set, or
    no network, the cache alone answers.

    Raises `UnknownRepositoryError`, `GatedRepositoryError`, `UnknownRevisionError`,
    `NotInCacheError`, `DownloadError`, `ModelNotFoundError`, and what `read_index` raises.
    """
    path = _snapshot(repository, revision, _SMALL)
    weights = {SINGLE_NAME}
    if os.path.lexists(path / INDEX_NAME):
        weights.update(read_index(path).values())
    return _snapshot(repository, path.name, sorted(weights))


def _snapshot(repository: str, revision: str | None, files: Sequence[str]) -> Path:
    hub = require("huggingface_hub", "extract")
    if not sys.stderr.isatty() and _part("constants").HF_HUB_DISABLE_PROGRESS_BARS is None:
        _part("utils").disable_progress_bars()
    patterns = [glob.escape(file) for file in files]
    try:
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=patterns))
    # The library lets its HTTP client's exceptions through, and which client that is changes.
    except Exception as error:
        raise _explained(error, repository, revision or "main") from None


def _explained(error: Exception, repository: str, revision: str) -> InputError:
    """`error` in words that say what to do; the library's subclasses come before their bases."""
    kinds, constants = _part("errors"), _part("constants")
    if isinstance(error, kinds.GatedRepoError):
        return GatedRepositoryError(
            f"{repository} is gated: its owner asks for terms to be accepted. Accept them on the "
            f"model's page, {constants.ENDPOINT}/{repository}, then log in with "
            "`hf auth login` or set HF_TOKEN."
        )
    if isinstance(error, kinds.RepositoryNotFoundError):
        return UnknownRepositoryError(
            f"{repository} is neither a local path nor a model that {constants.ENDPOINT} shows "
            "you. Check the spelling; for a private model log in with `hf auth login` or set "
            "HF_TOKEN."
        )
    if isinstance(error, kinds.RevisionNotFoundError):
        return UnknownRevisionError(
            f"{repository} has no revision {revision!a}; expected a branch, a tag or a full commit "
            "hash. See the model's page for those it has."
        )
    if isinstance(error, kinds.LocalEntryNotFoundError):
        return _not_cached(error, repository, revision)
    if isinstance(error, kinds.HFValidationError):
        return ModelNotFoundError(
            f"{repository!a} does not exist here and cannot be a name of the hub: "
            f"{_told(error)} Expected a directory, a .gguf file, or <owner>/<name>."
        )
    return DownloadError(
        f"{repository} at {revision} could not be fetched: {type(error).__name__}: "
        f"{_told(error)} Check the network and the free space of {constants.HF_HUB_CACHE}"
        ", and run again: files that are whole are kept."
    )


def _not_cached(error: Exception, repository: str, revision: str) -> NotInCacheError:
    constants, cause = _part("constants"), error.__cause__
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE forbids asking the hub"
    elif isinstance(cause, _part("errors").HfHubHTTPError):
        reason = f"{constants.ENDPOINT} answered with an error ({_told(cause)})"
    else:
        name = type(cause or error).__name__
        reason = f"{constants.ENDPOINT} did not answer ({name})"
    return NotInCacheError(
        f"{reason}, and the cache {constants.HF_HUB_CACHE} does not hold all files of "
        f"{repository} at {revision}. Fetch them where there is a network: "
        f"hf download {repository} --revision {revision}, or give a local directory."
    )


def _part(name: str) -> Any:
    """A module of huggingface_hub, by its own name: the package loads none before it is asked."""
    return require(f"huggingface_hub.{name}", "extract")


def _told(error: BaseException) -> str:
    """The library's own words on one line."""
    text = " ".join(str(error).split())[:300] or "no reason given"
    return text if text.endswith(".") else text + "."
