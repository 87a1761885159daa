"""Repositories of the hub: files of one commit, downloaded once into huggingface_hub's cache."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from spectra.errors import (
    DownloadError,
    GatedRepositoryError,
    InputError,
    NotInCacheError,
    UnknownRepositoryError,
    UnknownRevisionError,
)
from spectra.extras import require

Kind = Literal["model", "dataset"]

_NOT_SHOWN = {"model": "neither a local path nor a model", "dataset": "no dataset"}
_PAGES = {"model": "", "dataset": "datasets/"}
_OPTIONS = {"model": "", "dataset": " --repo-type dataset"}


def snapshot(
    kind: Kind,
    repository: str,
    revision: str | None,
    patterns: Sequence[str],
    ignored: Sequence[str] = (),
) -> Path:
    """The cache's directory of a repository at `revision` ("main" by default).

    Its name is the commit. Of the repository's files it has those that match one of `patterns` and
    none of `ignored`, both as fnmatch has them; what the repository lacks is no error here.
    Nothing is downloaded that the cache has; with HF_HUB_OFFLINE set, or no network, the cache
    alone answers.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        InputError: `UnknownRepositoryError`, `GatedRepositoryError`, `UnknownRevisionError`,
            `NotInCacheError` or `DownloadError`.
    """
    hub = require("huggingface_hub", "hub")
    if not sys.stderr.isatty() and _part("constants").HF_HUB_DISABLE_PROGRESS_BARS is None:
        _part("utils").disable_progress_bars()
    _part("utils").logging.set_verbosity_error()  # what it warns of is an error here
    try:
        return Path(
            hub.snapshot_download(
                repository,
                repo_type=kind,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored),
            )
        )
    # The library lets its HTTP client's exceptions through, and which client that is changes.
    except Exception as error:
        raise _explained(error, kind, repository, revision or "main") from None


def fetch_command(kind: Kind, repository: str, revision: str) -> str:
    """The command that downloads the repository into the cache, as far as its files' names."""
    return f"hf download {repository}{_OPTIONS[kind]} --revision {revision}"


def _explained(error: Exception, kind: Kind, repository: str, revision: str) -> InputError:
    """`error` in words that say what to do; the library's subclasses come before their bases."""
    kinds, constants = _part("errors"), _part("constants")
    if isinstance(error, kinds.GatedRepoError):
        return GatedRepositoryError(
            f"{repository} is gated: its owner asks for terms to be accepted. Accept them on the "
            f"{kind}'s page, {constants.ENDPOINT}/{_PAGES[kind]}{repository}, then log in with "
            "`hf auth login` or set HF_TOKEN."
        )
    if isinstance(error, kinds.RepositoryNotFoundError):
        return UnknownRepositoryError(
            f"{repository} is {_NOT_SHOWN[kind]} that {constants.ENDPOINT} shows you. Check the "
            f"spelling; for a private {kind} log in with `hf auth login` or set HF_TOKEN."
        )
    if isinstance(error, kinds.HFValidationError):
        return UnknownRepositoryError(
            f"{repository!a} is {_NOT_SHOWN[kind]}: it cannot be a name of the hub. {_told(error)} "
            "Expected <owner>/<name>."
        )
    if isinstance(error, kinds.RevisionNotFoundError):
        return UnknownRevisionError(
            f"{repository} has no revision {revision!a}; expected a branch, a tag or a full commit "
            f"hash. See the {kind}'s page for those it has."
        )
    if isinstance(error, kinds.LocalEntryNotFoundError):
        return _not_cached(error, kind, repository, revision)
    return DownloadError(
        f"{repository} at {revision} could not be fetched: {type(error).__name__}: "
        f"{_told(error)} Check the network and the free space of {constants.HF_HUB_CACHE}"
        ", and run again: files that are whole are kept."
    )


def _not_cached(error: Exception, kind: Kind, repository: str, revision: str) -> NotInCacheError:
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
        f"{fetch_command(kind, repository, revision)}, or give a local directory."
    )


def _part(name: str) -> Any:
    """A module of huggingface_hub, by its own name: the package loads none before it is asked."""
    return require(f"huggingface_hub.{name}", "hub")


def _told(error: BaseException) -> str:
    """The library's own words on one line."""
    text = " ".join(str(error).split())[:300] or "no reason given"
    return text if text.endswith(".") else text + "."
