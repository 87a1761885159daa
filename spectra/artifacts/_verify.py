"""The full check: every byte hashed, every row looked at."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectra.artifacts._hub import Place
from spectra.artifacts._open import Artifact, open_artifact
from spectra.artifacts.layout import CONFIG_NAME, INDEX_NAME, Layer
from spectra.files import unreadable
from spectra.finite import nonfinite_rows

_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file's size in bytes and its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NonFinite:
    """Where the first NaN or infinity is; `sample_id` is None for a row outside every sample."""

    row: int
    column: int
    file: str
    sample_id: str | None


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """One layer's rows, and how many of them hold a NaN or an infinity."""

    index: int
    num_rows: int
    nonfinite_rows: int
    first_nonfinite: NonFinite | None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a full check found; errors are raised, so a report means the layout is sound."""

    path: Path
    files: tuple[FileDigest, ...]
    layers: tuple[LayerCheck, ...]
    num_samples: int
    num_steps: int
    warnings: tuple[str, ...]


def verify_artifact(place: str | Place) -> VerifyReport:
    """Everything `open_artifact` checks, and each file's hash and each layer's non-finite rows.

    From the hub all of it is fetched. Raises what `open_artifact` and `fetched` raise; non-finite
    rows are reported, not raised.
    """
    artifact = open_artifact(place)
    artifact = artifact.fetched(artifact.config.layers)
    names = [CONFIG_NAME, INDEX_NAME, *artifact.headers]
    files = tuple(_digest(artifact.path, name) for name in names)
    layers = tuple(_check(artifact, layer) for layer in artifact.config.layers)
    return VerifyReport(
        artifact.path,
        files,
        layers,
        artifact.config.num_samples,
        artifact.config.num_steps,
        artifact.warnings,
    )


def _digest(directory: Path, name: str) -> FileDigest:
    try:
        with open(directory / name, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return FileDigest(name, os.fstat(stream.fileno()).st_size, digest)
    except OSError as error:
        raise unreadable(directory / name, error) from None


def _check(artifact: Artifact, layer: Layer) -> LayerCheck:
    bad_rows, first = 0, None
    with artifact.open_rows(layer) as rows:
        size = max(1, _BLOCK_BYTES // (rows.dim * rows.dtype.itemsize))
        block = np.empty((min(size, rows.num_rows), rows.dim), rows.dtype)
        for start in range(0, rows.num_rows, size):
            found = rows.read(start, min(start + size, rows.num_rows), block)
            bad = nonfinite_rows(found)
            if first is None and bad.size:
                column = int(np.argmin(np.isfinite(found[bad[0]].astype(np.float32))))
                first = _locate(artifact, layer, start + int(bad[0]), column)
            bad_rows += bad.size
        return LayerCheck(layer.index, rows.num_rows, bad_rows, first)


def _locate(artifact: Artifact, layer: Layer, row: int, column: int) -> NonFinite:
    number = bisect_right([shard.token_start for shard in layer.shards], row) - 1
    owner = (
        sample.sample_id
        for sample in artifact.index.samples
        if sample.global_offset <= row < sample.global_offset + sample.num_tokens
    )
    return NonFinite(row, column, layer.shards[number].file, next(owner, None))
