"""The door: from a path to a validated `Artifact`."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spectra.artifacts._config import parse_config, settle_counts
from spectra.artifacts._index import parse_index
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
from spectra.artifacts.rows import RowReader
from spectra.errors import (
    ArtifactNotFoundError,
    DuplicateShardError,
    MissingShardsError,
    ShardDtypeError,
    ShardShapeError,
    UnknownLayerError,
    UsageError,
)
from spectra.files import stat_regular, unreadable
from spectra.strict_json import load

_DATASET = "jaygala24/reasoning-models-interpretability-artifacts"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A validated model directory; `warnings` are sentences on what is odd but legal."""

    path: Path
    config: Config
    index: Index
    warnings: tuple[str, ...]
    headers: Mapping[str, ShardHeader] = field(repr=False)

    def layer(self, index: int | None = None) -> Layer:
        """The saved layer of this index, or the primary one; raises `UnknownLayerError`."""
        wanted = self.config.layer if index is None else index
        for layer in self.config.layers:
            if layer.index == wanted:
                return layer
        saved = ", ".join(str(layer.index) for layer in self.config.layers)
        raise UnknownLayerError(
            f"{self.path} has no states of layer {wanted}; it has layers {saved}. Choose one."
        )

    def open_rows(self, layer: Layer, without: Sequence[int] = ()) -> RowReader:
        """A context manager that reads the layer's rows, `without` some of their dimensions.

        Raises:
            UsageError: there is no such dimension, or none would be left.
        """
        dim = self.config.hidden_dim
        absent = [one for one in without if not 0 <= one < dim]
        if absent or len(set(without)) == dim:
            what = f"no dimension {absent[0]}" if absent else "no dimension left"
            raise UsageError(
                f"{self.path} has {what} to leave out. Expected some of 0 to {dim - 1}, and not "
                "all of them."
            )
        headers = [self.headers[shard.file] for shard in layer.shards]
        config = self.config
        return RowReader(self.path, layer, headers, config.storage_dtype, dim, without)


def open_artifact(path: str | os.PathLike[str]) -> Artifact:
    """The artifact in the directory `path`, with everything but the tensor data validated.

    Config, index, totals, ranges, and each shard's header, dtype, shape and exact size are
    checked. Raises a subclass of `InputError` for each way to be wrong.
    """
    path = Path(path)
    config_path, index_path = path / CONFIG_NAME, path / INDEX_NAME
    raw = load(config_path, max_bytes=LARGEST_CONFIG)
    config = parse_config(raw, str(config_path))
    headers = _headers(path, config)
    with _collector_paused():
        index_raw = load(index_path, max_bytes=LARGEST_INDEX)
        index = parse_index(index_raw, str(index_path), config.num_tokens)
    config = settle_counts(config, raw, str(config_path), index)
    return Artifact(path, config, index, index.warnings, headers)


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


def find_artifacts(src: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The model directories at `src`: itself, or its children by name.

    A model directory is one with a config.json. Raises `ArtifactNotFoundError`.
    """
    src = Path(src)
    if os.path.lexists(src / CONFIG_NAME):
        return (src,)
    children = _model_directories(src)
    if not children:
        raise ArtifactNotFoundError(
            f"{src} holds no {CONFIG_NAME}, and no directory in it does. Expected one model's "
            f"directory ({CONFIG_NAME}, {INDEX_NAME}, shards) or the parent of several."
            + _hint(src)
        )
    return children


def _model_directories(src: Path) -> tuple[Path, ...]:
    try:
        children = sorted(src.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactNotFoundError(
            f"{src} is not a directory. Expected one model's directory ({CONFIG_NAME}, "
            f"{INDEX_NAME}, shards) or the parent of several. Check the path."
        ) from None
    except OSError as error:
        raise unreadable(src, error) from None
    return tuple(child for child in children if os.path.lexists(child / CONFIG_NAME))


def _hint(src: Path) -> str:
    inner = src / "annotated_traces_reprs"
    if os.path.isdir(inner):
        return f" Give {inner} instead."
    if os.path.exists(src / INDEX_NAME):
        return f" {src} has an {INDEX_NAME} only: its writing or download did not finish."
    return ""


def _headers(path: Path, config: Config) -> dict[str, ShardHeader]:
    shards = [shard for layer in config.layers for shard in layer.shards]
    missing = [shard.file for shard in shards if not os.path.exists(path / shard.file)]
    if missing:
        raise MissingShardsError(
            f"{path}: {len(missing)} of {len(shards)} shards listed in {CONFIG_NAME} are missing: "
            f"{', '.join(missing)}. A directory of the published dataset is completed by: "
            f"hf download {_DATASET} --repo-type dataset --local-dir . "
            f"--include 'annotated_traces_reprs/{os.path.basename(os.path.abspath(path))}/*'"
        )
    _refuse_same_file(path, shards)
    headers = {shard.file: read_header(path / shard.file) for shard in shards}
    for shard in shards:
        _check_header(path / shard.file, shard, headers[shard.file], config)
    return headers


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
