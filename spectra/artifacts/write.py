"""Writing an artifact: shards cut at sample borders, then the index, the config last of all.

An old config.json is removed first and the new one comes last, so at no moment does a config list
shards of two writings; a directory without one is unfinished. What is written first passes the
reader's own validation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spectra.artifacts._config import parse_config
from spectra.artifacts._index import parse_index
from spectra.artifacts._source import Blocks, Source
from spectra.artifacts.encode import (
    Cuts,
    config_document,
    cut_shards,
    index_document,
    index_text,
    shard_header,
    with_extra,
)
from spectra.artifacts.layout import CONFIG_NAME, INDEX_NAME, NO_EXTRA, Sample
from spectra.artifacts.manifest import MANIFEST_NAME
from spectra.artifacts.shardnames import shard_name
from spectra.atomic import make_directory, output_error, replacing, sync_directory, write_bytes
from spectra.errors import ShardShapeError
from spectra.strict_json import JSON, JSONObject, dumps


def write_artifact(  # noqa: PLR0913  each is a fact of the artifact
    path: str | os.PathLike[str],
    *,
    model: str,
    layers: Mapping[int, Blocks],
    samples: Sequence[Sample],
    final_norm: bool | None,
    primary: int | None = None,
    shard_rows: int = 65536,
    extra: JSONObject = NO_EXTRA,
    index_extra: JSONObject = NO_EXTRA,
) -> Path:
    """Write the directory `path` in the published layout and return it.

    Args:
        path: The model's directory, made where absent.
        model: The model's name.
        layers: For each layer's index its rows, [num_tokens, dim] in bfloat16, float16 or float32,
            whole or as an iterable of blocks of rows in order. Iterables are consumed once, layer
            by layer, save that the first block of each is taken at the start.
        samples: The traces, their ranges as in index.json.
        final_norm: Whether the model's final norm was applied to the rows; None if unknown.
        primary: The layer that config.json's `shards` describe; the last one by default.
        shard_rows: Rows a shard may have; a longer sample has a longer shard of its own.
        extra: Further fields of config.json; fields of the layout win over them.
        index_extra: Further fields of index.json, likewise.

    Raises:
        InputError: What the reader would refuse, before anything is written; or rows that do not
            fit the samples (`ShardShapeError`, `ShardDtypeError`).
        OutputError: The operating system refuses.
    """
    path = Path(path)
    cuts = cut_shards(samples, shard_rows)
    sources = {layer: Source(layer, blocks) for layer, blocks in sorted(layers.items())}
    main = sources[max(sources) if primary is None else primary]
    known = config_document(
        model=model,
        primary=main.layer,
        layers=dict.fromkeys(sources, final_norm),
        dim=main.dim,
        dtype=main.dtype,
        samples=samples,
        cuts=cuts,
    )
    config = with_extra(known, extra)
    index = with_extra(index_document(samples), index_extra)
    check_documents(path, config, index)
    _prepare(path)
    for source in sources.values():
        _write_layer(path, source, main, cuts)
    write_documents(path, config, index)
    return path


def check_documents(path: Path, config: dict[str, JSON], index: dict[str, JSON]) -> None:
    """Raise what the reader would, were these the config.json and index.json in `path`."""
    parsed = parse_config(config, str(path / CONFIG_NAME))
    parse_index(index, str(path / INDEX_NAME), parsed.num_tokens)


def write_documents(path: Path, config: dict[str, JSON], index: dict[str, JSON]) -> None:
    """Write index.json, then config.json, which declares the directory whole.

    A SHA256SUMS of what was there before is removed.
    """
    try:
        (path / MANIFEST_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path / MANIFEST_NAME, error) from None
    write_bytes(path / INDEX_NAME, index_text(index).encode())
    write_bytes(path / CONFIG_NAME, dumps(config).encode())


def _prepare(path: Path) -> None:
    make_directory(path)
    try:
        (path / CONFIG_NAME).unlink(missing_ok=True)
        sync_directory(path)
    except OSError as error:
        raise output_error(path, error) from None


def _write_layer(path: Path, source: Source, main: Source, cuts: Cuts) -> None:
    if (source.dim, source.dtype) != (main.dim, main.dtype):
        raise ShardShapeError(
            f"Layer {source.layer} has rows of {source.dim} {source.dtype}, layer {main.layer} of "
            f"{main.dim} {main.dtype}. Expected one width and dtype for all layers."
        )
    for number, (start, end) in enumerate(cuts):
        with replacing(path / shard_name(source.layer, number)) as stream:
            stream.write(shard_header(end - start, source.dim, source.dtype))
            for piece in source.take(end - start):
                stream.write(np.ascontiguousarray(piece).view(np.uint8).reshape(-1).data)
    source.expect_end()
