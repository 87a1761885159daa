"""The full check: every byte hashed, every row looked at."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spectra.artifacts._hub import HubDirectory, Place
from spectra.artifacts._open import Artifact, open_artifact
from spectra.artifacts.digest import FileDigest, digest_file
from spectra.artifacts.layout import CONFIG_NAME, INDEX_NAME, Layer
from spectra.artifacts.manifest import MANIFEST_NAME, checked_manifest, write_manifest
from spectra.errors import UsageError
from spectra.finite import nonfinite_rows

_BLOCK_BYTES = 32 << 20


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
    """What a full check found; errors are raised, so a report means the layout is sound.

    `manifest` says what became of SHA256SUMS: "compared", "written", or None where there is none.
    """

    path: Path
    files: tuple[FileDigest, ...]
    layers: tuple[LayerCheck, ...]
    num_samples: int
    num_steps: int
    warnings: tuple[str, ...]
    manifest: Literal["compared", "written"] | None = None


def verify_artifact(place: str | Place, *, write: bool = False) -> VerifyReport:
    """Everything `open_artifact` checks, and each file's hash and each layer's non-finite rows.

    Where the directory has a SHA256SUMS, its files are compared with it before anything else; with
    `write` it is written instead, from what was hashed here. From the hub all of it is fetched.

    Raises:
        InputError: what `open_artifact` and `fetched` raise, `ManifestError` and
            `ManifestMismatchError`; non-finite rows are reported, not raised.
        UsageError: with `write`, for a directory of the hub.
        OutputError: the operating system refuses to write.
    """
    known = _manifest_of_hub(place, write=write) if isinstance(place, HubDirectory) else (
        None if write else checked_manifest(Path(place))
    )  # fmt: skip
    artifact = open_artifact(place)
    artifact = artifact.fetched(artifact.config.layers)
    names = [CONFIG_NAME, INDEX_NAME, *artifact.headers]
    files = tuple((known or {}).get(name) or digest_file(artifact.path, name) for name in names)
    layers = tuple(_check(artifact, layer) for layer in artifact.config.layers)
    if write:
        write_manifest(artifact.path, files)
    return VerifyReport(
        artifact.path,
        files,
        layers,
        artifact.config.num_samples,
        artifact.config.num_steps,
        artifact.warnings,
        "written" if write else (None if known is None else "compared"),
    )


def _manifest_of_hub(place: HubDirectory, *, write: bool) -> Mapping[str, FileDigest] | None:
    if write:
        raise UsageError(
            f"{place} is on the hub, and {MANIFEST_NAME} would go into its cache. Expected a "
            "directory of this machine: download it, or leave --write-manifest out."
        )
    artifact = open_artifact(place)
    artifact.fetched(artifact.config.layers)
    place.fetch([MANIFEST_NAME])
    return checked_manifest(place.local)


def _check(artifact: Artifact, layer: Layer) -> LayerCheck:
    bad_rows, first = 0, None
    with artifact.open_rows(layer) as rows:
        size = max(1, _BLOCK_BYTES // (rows.dim * rows.dtype.itemsize))
        block = np.empty((min(size, rows.num_rows), rows.dim), rows.dtype)
        for start in range(0, rows.num_rows, size):
            found = rows.read(start, min(start + size, rows.num_rows), block)
            bad = nonfinite_rows(found)
            if first is None and bad.size:
                with np.errstate(invalid="ignore"):  # a signalling NaN warns even here
                    column = int(np.argmin(np.isfinite(found[bad[0]])))
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
