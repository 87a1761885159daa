"""Models of the hub by name: downloaded once into huggingface_hub's cache, at a known commit.

The small files are fetched first; they say which files of weights the model is, and only those
follow, from the same commit.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from extract.weights._directory import CONFIG_NAME
from extract.weights._shards import INDEX_NAME, SINGLE_NAME, read_index
from extract.weights._texts import (
    SPECIAL_TOKENS_NAME,
    TEMPLATE_NAME,
    TOKENIZER_CONFIG_NAME,
    TOKENIZER_NAME,
)
from spectra.extras import require
from spectra.hub import snapshot

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

    Its name is the commit. Raises what `snapshot` and `read_index` raise.
    """
    require("huggingface_hub", "extract")
    path = _snapshot(repository, revision, _SMALL)
    weights = {SINGLE_NAME}
    if os.path.lexists(path / INDEX_NAME):
        weights.update(read_index(path).values())
    return _snapshot(repository, path.name, weights)


def _snapshot(repository: str, revision: str | None, files: Iterable[str]) -> Path:
    return snapshot("model", repository, revision, [glob.escape(name) for name in sorted(files)])
