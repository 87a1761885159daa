"""The door: from a path to a validated `Artifact`."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from spectra.artifacts._config import parse_config, settle_counts
from spectra.artifacts._hub import HubDirectory
from spectra.artifacts._index import parse_index
from spectra.artifacts.digest import FileDigest, digest_of
from spectra.artifacts.encode import TENSOR_DTYPES
from spectra.artifacts.header import ShardHeader, read_header
from spectra.artifacts.layout import (
    CONFIG_NAME,
    INDEX_NAME,
    LARGEST_CONFIG,
    LARGEST_INDEX,
    Config,
    Index,
    Layer,
    Shard,
)
from spectra.artifacts.rows import DTYPES, RowReader
from spectra.errors import (
    DuplicateShardError,
    MissingShardsError,
    ShardDtypeError,
    ShardShapeError,
    UnknownLayerError,
    UsageError,
)
from spectra.files import read_capped, stat_regular
from spectra.strict_json import JSON, loads

_DATASET = "jaygala24/reasoning-models-interpretability-artifacts"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A validated model directory; `warnings` are sentences on what is odd but legal.

    `path` has its files; where they come from the hub, `origin` says where they are there, and
    `headers` are of the shards that `fetched` was asked for. Otherwise they are of all shards.
    `documents` are of config.json and index.json as they were read.
    """

    path: Path
    config: Config
    index: Index
    warnings: tuple[str, ...]
    headers: Mapping[str, ShardHeader] = field(repr=False)
    documents: Mapping[str, FileDigest] = field(repr=False)
    origin: HubDirectory | None = None

    def layer(self, index: int | None = None) -> Layer:
        """The saved layer of this index, or the primary one; raises `UnknownLayerError`."""
        wanted = self.config.layer if index is None else index
        for layer in self.config.layers:
            if layer.index == wanted:
                return layer
        saved = ", ".join(str(layer.index) for layer in self.config.layers)
        raise UnknownLayerError(
            f"{self.origin or self.path} has no states of layer {wanted}; it has layers {saved}. "
            "Choose one."
        )

    def fetched(self, layers: Iterable[Layer]) -> Artifact:
        """With these layers' rows there to be read: from the hub they are downloaded and checked.

        Raises what `spectra.hub.snapshot` raises, and what `open_artifact` raises for shards.
        """
        if self.origin is None:
            return self
        shards = [shard for layer in layers for shard in layer.shards]
        self.origin.fetch(shard.file for shard in shards)
        return replace(self, headers=_headers(self.path, self.config, shards, self.origin))

    def size_of(self, shard: Shard) -> int:
        """The file's bytes; without its header's, some 100, where it was not fetched."""
        header = self.headers.get(shard.file)
        if header is not None:
            return header.file_size
        row_bytes = self.config.hidden_dim * DTYPES[self.config.storage_dtype].itemsize
        return (shard.token_end - shard.token_start) * row_bytes

    def open_rows(self, layer: Layer, without: Sequence[int] = ()) -> RowReader:
        """A context manager that reads the layer's rows, `without` some of their dimensions.

        It can tell their number and width before it is entered, and before they are `fetched`.

        Raises:
            UsageError: there is no such dimension, or none would be left.
        """
        dim = self.config.hidden_dim
        absent = [one for one in without if not 0 <= one < dim]
        if absent or len(set(without)) == dim:
            what = f"no dimension {absent[0]}" if absent else "no dimension left"
            raise UsageError(
                f"{self.origin or self.path} has {what} to leave out. Expected some of 0 to "
                f"{dim - 1}, and not all of them."
            )
        dtype = self.config.storage_dtype
        return RowReader(self.path, layer, self.headers, dtype, dim, without)


def open_artifact(place: str | os.PathLike[str] | HubDirectory) -> Artifact:
    """The artifact in a directory, with everything but the tensor data validated.

    Config, index, totals, ranges, and each shard's header, dtype, shape and exact size are
    checked; shards on the hub when they are `fetched`. Raises a subclass of `InputError` for each
    way to be wrong.
    """
    origin = place if isinstance(place, HubDirectory) else None
    path = place.local if isinstance(place, HubDirectory) else Path(place)
    config_path, index_path = path / CONFIG_NAME, path / INDEX_NAME
    content = read_capped(config_path, LARGEST_CONFIG)
    digests = {CONFIG_NAME: digest_of(CONFIG_NAME, content)}
    raw = loads(content, where=str(config_path))
    config = parse_config(raw, str(config_path))
    shards = [shard for layer in config.layers for shard in layer.shards]
    headers = _headers(path, config, shards) if origin is None else {}
    with _collector_paused():
        content = read_capped(index_path, LARGEST_INDEX)
        digests[INDEX_NAME] = digest_of(INDEX_NAME, content)
        index_raw = loads(content, where=str(index_path))
        del content
        index = parse_index(index_raw, str(index_path), config.num_tokens)
    config = settle_counts(config, raw, str(config_path), index)
    return Artifact(path, config, index, index.warnings, headers, digests, origin)


def described_artifact(path: Path, config: dict[str, JSON], index: dict[str, JSON]) -> Artifact:
    """What `open_artifact` would find, were these the config.json and index.json in `path`.

    Its layers have their rows and widths, but no file is there to read them from. Raises what
    `open_artifact` raises for such documents.
    """
    config_path = str(path / CONFIG_NAME)
    parsed = parse_config(config, config_path)
    found = parse_index(index, str(path / INDEX_NAME), parsed.num_tokens)
    parsed = settle_counts(parsed, config, config_path, found)
    return Artifact(path, parsed, found, found.warnings, {}, {})


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of new objects without a cycle among them: looking for one takes a third longer."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _headers(
    path: Path, config: Config, shards: list[Shard], origin: HubDirectory | None = None
) -> dict[str, ShardHeader]:
    missing = [shard.file for shard in shards if not os.path.exists(path / shard.file)]
    if missing:
        raise MissingShardsError(
            f"{origin or path}: {len(missing)} of {len(shards)} shards listed in {CONFIG_NAME} are "
            f"missing: {', '.join(missing)}. {_completion(path, origin)}"
        )
    _refuse_same_file(path, shards)
    headers = {shard.file: read_header(path / shard.file) for shard in shards}
    for shard in shards:
        _check_header(path / shard.file, shard, headers[shard.file], config)
    return headers


def _completion(path: Path, origin: HubDirectory | None) -> str:
    if origin is not None:
        return (
            f"Expected the dataset to have them; what it has is fetched by: {origin.fetch_command}"
        )
    return (
        f"A directory of the published dataset is completed by: hf download {_DATASET} "
        "--repo-type dataset --local-dir . "
        f"--include 'annotated_traces_reprs/{os.path.basename(os.path.abspath(path))}/*'"
    )


def _refuse_same_file(path: Path, shards: list[Shard]) -> None:
    seen: dict[tuple[int, int], str] = {}
    for shard in shards:
        status = stat_regular(path / shard.file)
        twin = seen.setdefault((status.st_dev, status.st_ino), shard.file)
        if twin != shard.file:
            raise DuplicateShardError(
                f"{path}: the shards {twin!a} and {shard.file!a} are two names of one file, so "
                "its rows would count twice. Put each shard's own data under its name."
            )


def _check_header(path: Path, shard: Shard, header: ShardHeader, config: Config) -> None:
    dtype = TENSOR_DTYPES[config.storage_dtype]
    if header.dtype != dtype:
        raise ShardDtypeError(
            f"{path}: the tensor's dtype is {header.dtype}, but storage_dtype in {CONFIG_NAME} is "
            f"{config.storage_dtype} ({dtype}). Bytes are never reinterpreted: correct the config "
            "or fetch the file again."
        )
    shape = (shard.token_end - shard.token_start, config.hidden_dim)
    if header.shape != shape:
        raise ShardShapeError(
            f"{path}: the tensor's shape is {list(header.shape)}; {CONFIG_NAME} says {list(shape)} "
            f"(tokens [{shard.token_start}, {shard.token_end}), hidden_dim {config.hidden_dim}). "
            "Config and shard do not belong together; fetch or write both again."
        )
