"""Model directories of datasets of the hub: hf://datasets/OWNER/NAME[@REVISION][/PATH].

Finding them fetches config.json and index.json; shards are fetched by layer, when they are to be
read. All come from the commit that the revision led to when it was first asked for.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from spectra.artifacts.layout import CONFIG_NAME, INDEX_NAME
from spectra.artifacts.shardnames import fault_in_name
from spectra.errors import HubAddressError
from spectra.hub import fetch_command, snapshot

# A path object has kept one of the two slashes.
_URL = re.compile(
    r"hf://?datasets/(?P<repository>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<path>.*))?",
    re.DOTALL,
)


def is_hub_url(src: str | os.PathLike[str]) -> bool:
    """Whether `src` is meant for the hub, and not a path on this machine."""
    return os.fspath(src).startswith("hf:/")


@dataclass(frozen=True, slots=True)
class HubDirectory:
    """A directory of a dataset of the hub, at one commit.

    Attributes:
        repository: OWNER/NAME.
        commit: the commit's hash.
        path: the directory's path in the repository; empty for the root.
        local: the same directory in the cache, with the files that were fetched.
    """

    repository: str
    commit: str
    path: str
    local: Path

    @classmethod
    def at(cls, url: str) -> HubDirectory:
        """The directory that `url` names, with what tells of its model, or its children's, fetched.

        Raises `HubAddressError`, and what `snapshot` raises.
        """
        repository, revision, path = _parsed(url)
        within = glob.escape(f"{path}/") if path else ""
        names = (CONFIG_NAME, INDEX_NAME)
        wanted = [f"{within}{depth}{name}" for depth in ("", "*/") for name in names]
        # fnmatch's * is not stopped by a slash.
        ignored = [f"{within}*/*/*", f"{within}../*"]
        root = snapshot("dataset", repository, revision, wanted, ignored)
        return cls(repository, root.name, path, root / path)

    @property
    def name(self) -> str:
        """The last part of its path, or the dataset's name."""
        return (self.path or self.repository).rpartition("/")[2]

    def __str__(self) -> str:
        """Its address, the commit pinned."""
        return f"hf://datasets/{self.repository}@{self.commit}/{self.path}".rstrip("/")

    def inner(self, local: Path) -> HubDirectory:
        """The same for a directory in this one, or this one itself, by its place in the cache."""
        parts = (self.path, *local.relative_to(self.local).parts)
        return replace(self, path="/".join(filter(None, parts)), local=local)

    def fetch(self, files: Iterable[str]) -> None:
        """Have the cache hold those of the files that the repository has; as `snapshot` raises."""
        within = f"{self.path}/" if self.path else ""
        wanted = [glob.escape(f"{within}{name}") for name in files]
        if wanted:
            snapshot("dataset", self.repository, self.commit, wanted)

    @property
    def fetch_command(self) -> str:
        """The command that fetches all of it."""
        files = shlex.quote(f"{self.path}/*" if self.path else "*")
        return f"{fetch_command('dataset', self.repository, self.commit)} --include {files}"

    def asdict(self) -> dict[str, str]:
        """For the record of a run."""
        return {"repository": self.repository, "commit": self.commit, "path": self.path}


Place: TypeAlias = Path | HubDirectory
"""A model's directory: on this machine, or in a dataset of the hub."""


def _parsed(url: str) -> tuple[str, str | None, str]:
    """Repository, revision and path."""
    match = _URL.fullmatch(url)
    parts = [part for part in (match["path"] or "").split("/") if part] if match else []
    faults = [f": {part[:80]!a} {fault}" for part in parts if (fault := fault_in_name(part))]
    if match is None or faults:
        raise HubAddressError(
            f"{url!a} names no directory of a dataset{''.join(faults[:1])}. Expected "
            "hf://datasets/OWNER/NAME[@REVISION]/PATH, with a slash in REVISION written as %2F."
        )
    revision = match["revision"]
    return match["repository"], None if revision is None else unquote(revision), "/".join(parts)
