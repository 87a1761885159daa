"""The names of shards: made by the writer, judged lexically before any touches the disk."""

from __future__ import annotations

import re

from spectra.errors import LayerMismatchError, ShardNameError

_LAYER_IN_NAME = re.compile(r"hidden_states_layer(\d{1,9})_shard")
_LONGEST_NAME = 255


def shard_name(layer: int, number: int) -> str:
    """The published name of a layer's shard `number`, counted from 0."""
    return f"hidden_states_layer{layer}_shard{number:03d}.safetensors"


def check_shard_name(name: str, where: str) -> None:
    """Raise `ShardNameError` unless `name` is the plain name of a file in the same directory."""
    fault = fault_in_name(name)
    if fault:
        raise ShardNameError(
            f"{where}: the shard name {name[:80]!a} {fault}. Expected the plain name of a file "
            "beside config.json, such as 'hidden_states_layer30_shard000.safetensors'."
        )


def check_layer_in_name(name: str, layer: int, where: str) -> None:
    """Raise `LayerMismatchError` when a published-style name tells of another layer."""
    match = _LAYER_IN_NAME.match(name)
    if match and int(match[1]) != layer:
        raise LayerMismatchError(
            f"{where}: the shard {name!a} is named for layer {int(match[1])} but listed for layer "
            f"{layer}. Layers are never joined: correct the name or the layer."
        )


def fault_in_name(name: str) -> str | None:
    """What keeps `name` from being the plain name of a file; None where nothing does."""
    if "\0" in name:
        return "holds a NUL"
    if "/" in name or "\\" in name:
        return "holds a path separator"
    if name in {".", ".."} or re.match(r"[A-Za-z]:", name):
        return "leads out of the directory"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"is {length} bytes long" if length > _LONGEST_NAME else None
