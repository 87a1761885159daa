"""config.json: from JSON to a `Config`, every contradiction an error."""

from __future__ import annotations

from dataclasses import replace

from spectra.artifacts.layout import FORMAT_VERSION, Config, Index, Layer, Shard
from spectra.artifacts.shardnames import check_layer_in_name, check_shard_name
from spectra.errors import (
    DuplicateShardError,
    FieldTypeError,
    FieldValueError,
    LayerMismatchError,
    ShardRangeError,
    TotalsError,
)
from spectra.json_fields import Fields, show, some
from spectra.strict_json import JSON

STORAGE_DTYPES = ("bfloat16", "float16", "float32")

CONFIG_FIELDS = frozenset(
    {"model", "layer", "saved_layers", "hidden_dim", "storage_dtype", "format_version"}
    | {"num_tokens", "num_samples", "num_steps", "num_hidden_layers", "shards", "layers"}
)


def parse_config(raw: JSON, where: str) -> Config:
    """The config in `raw`, read from `where`.

    The published card names `shards` and `layer` only: without `layers` the primary layer is the
    one saved layer, its `final_norm` unknown. `num_samples` or `num_steps` left out is 0 here and
    filled in by `settle_counts`.
    """
    record = Fields.of(raw, where)
    version = parse_version(record)
    num_tokens = record.integer("num_tokens")
    layer = record.integer("layer")
    layers = _layers(record, layer, num_tokens)
    blocks = _num_hidden_layers(record, layers)
    return Config(
        model=record.text("model"),
        layer=layer,
        saved_layers=_saved_layers(record, layer, layers),
        hidden_dim=record.integer("hidden_dim", low=1),
        storage_dtype=_storage_dtype(record),
        num_tokens=num_tokens,
        num_samples=record.integer_or_none("num_samples") or 0,
        num_steps=record.integer_or_none("num_steps") or 0,
        num_hidden_layers=blocks,
        layers=layers,
        format_version=version,
        extra=record.others(CONFIG_FIELDS),
    )


def settle_counts(config: Config, raw: JSON, where: str, index: Index) -> Config:
    """`config` with its sample and step counts compared to the index, or filled in from it."""
    record = Fields.of(raw, where)
    num_samples = len(index.samples)
    num_steps = sum(len(sample.steps) for sample in index.samples)
    for name, count in (("num_samples", num_samples), ("num_steps", num_steps)):
        declared = record.integer_or_none(name)
        if declared is not None and declared != count:
            raise TotalsError(
                f"{where}: {name} is {declared} but index.json holds {count}. The two files do not "
                "belong together, or one is cut short; fetch or write both again."
            )
    return replace(config, num_samples=num_samples, num_steps=num_steps)


def parse_version(record: Fields) -> int:
    """`format_version`, 1 where absent; a newer one than this reader's is refused."""
    if "format_version" not in record.fields:
        return FORMAT_VERSION
    version = record.integer("format_version", low=1)
    if version > FORMAT_VERSION:
        raise FieldValueError(
            f"{record.where}: format_version is {version}; this reader knows versions up to "
            f"{FORMAT_VERSION}. Upgrade Spectra to read it."
        )
    return version


def _storage_dtype(record: Fields) -> str:
    name = record.text("storage_dtype")
    if name not in STORAGE_DTYPES:
        raise FieldValueError(
            f"{record.where}: storage_dtype is {show(name)}; expected one of "
            f"{', '.join(STORAGE_DTYPES)}."
        )
    return name


def _num_hidden_layers(record: Fields, layers: tuple[Layer, ...]) -> int | None:
    blocks = record.integer_or_none("num_hidden_layers")
    if blocks is not None and blocks < max(1, layers[-1].index):
        raise LayerMismatchError(
            f"{record.where}: num_hidden_layers is {blocks}, and layer {layers[-1].index} is "
            "saved. Layer k is the state after block k: expected at least as many blocks as the "
            "highest layer's number, or the field left out."
        )
    return blocks


def _saved_layers(record: Fields, primary: int, layers: tuple[Layer, ...]) -> tuple[int, ...]:
    listed = tuple(layer.index for layer in layers)
    if "saved_layers" not in record.fields:
        return listed
    values = record.array("saved_layers")
    saved = [value for value in values if type(value) is int]
    if len(saved) != len(values):
        raise FieldTypeError(
            f"{record.where}: saved_layers is [{some(values)}]; expected integers."
        )
    expected = set(listed) if "layers" in record.fields else {primary, *saved}
    if set(saved) != expected or primary not in saved or len(set(saved)) != len(saved):
        raise LayerMismatchError(
            f"{record.where}: saved_layers is [{some(saved)}], but the primary layer is {primary} "
            f"and shards are listed for [{some(listed)}]. Expected each saved layer once in both."
        )
    return tuple(saved)


def _layers(record: Fields, primary: int, num_tokens: int) -> tuple[Layer, ...]:
    shards = _shards(record, primary, num_tokens)
    if "layers" not in record.fields:
        return (Layer(primary, None, shards),)
    layers = [_layer(entry, num_tokens) for entry in record.records("layers")]
    by_index = {layer.index: layer for layer in layers}
    if len(by_index) != len(layers) or primary not in by_index:
        raise LayerMismatchError(
            f"{record.where}: layers lists [{some(one.index for one in layers)}]; expected every "
            f"saved layer once, the primary layer {primary} among them."
        )
    if by_index[primary].shards != shards:
        raise LayerMismatchError(
            f"{record.where}: shards and the entry of layer {primary} in layers list different "
            "files or ranges. Both describe the primary layer: make them equal."
        )
    result = tuple(by_index[index] for index in sorted(by_index))
    _refuse_duplicates([shard for layer in result for shard in layer.shards], record.where)
    return result


def _layer(entry: Fields, num_tokens: int) -> Layer:
    index = entry.integer("index")
    return Layer(index, entry.boolean_or_none("final_norm"), _shards(entry, index, num_tokens))


def _shards(record: Fields, layer: int, num_tokens: int) -> tuple[Shard, ...]:
    """The record's `shards` in row order; they must tile [0, num_tokens)."""
    shards = [_shard(entry, layer) for entry in record.records("shards")]
    _refuse_duplicates(shards, record.where)
    shards.sort(key=lambda shard: (shard.token_start, shard.token_end))
    before = Shard("the start", 0, 0)
    for shard in shards:
        if shard.token_start != before.token_end:
            raise _range_error(before, shard, record.where)
        before = shard
    if before.token_end != num_tokens:
        raise ShardRangeError(
            f"{record.where}: the last shard {before.file!a} ends at token {before.token_end}, "
            f"but num_tokens is {num_tokens}. Expected the shards to cover every token once."
        )
    return tuple(shards)


def _shard(entry: Fields, layer: int) -> Shard:
    file = entry.text("file")
    check_shard_name(file, entry.where)
    check_layer_in_name(file, layer, entry.where)
    start, end = entry.integer("token_start"), entry.integer("token_end")
    if start > end:
        raise ShardRangeError(
            f"{entry.where}: token_start {start} lies after token_end {end} in {file!a}. "
            "Expected a half-open range of rows."
        )
    return Shard(file, start, end)


def _refuse_duplicates(shards: list[Shard], where: str) -> None:
    seen: set[str] = set()
    for shard in shards:
        if shard.file in seen:
            raise DuplicateShardError(
                f"{where}: the shard {shard.file!a} is listed twice, so its rows would count "
                "twice. Expected each file once; remove one entry."
            )
        seen.add(shard.file)


def _range_error(before: Shard, shard: Shard, where: str) -> ShardRangeError:
    distance = shard.token_start - before.token_end
    fault = f"leave a gap of {distance}" if distance > 0 else f"overlap by {-distance}"
    return ShardRangeError(
        f"{where}: the shards {before.file!a} [{before.token_start}, {before.token_end}) and "
        f"{shard.file!a} [{shard.token_start}, {shard.token_end}) {fault} tokens. "
        "Expected each shard to begin where the one before it ends."
    )
