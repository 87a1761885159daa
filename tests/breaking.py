"""The means to break a tiny artifact: functions that spoil the directory they are given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.artifact_files import DIM, SHARDS, edit, edit_primary, safetensors_bytes

Break = Callable[[Path], object]


def config(**fields: Any) -> Break:
    return lambda path: edit(path / "config.json", lambda document: document.update(fields))


def without(name: str, field: str) -> Break:
    return lambda path: edit(path / name, lambda document: document.pop(field))


def shards(change: Callable[[Any], object]) -> Break:
    return lambda path: edit_primary(path, change)


def named(file: str) -> Break:
    return shards(lambda entries: entries[0].update(file=file))


def bounds(number: int, **fields: Any) -> Break:
    return shards(lambda entries: entries[number].update(fields))


def sample(number: int, **fields: Any) -> Break:
    return lambda path: edit(
        path / "index.json", lambda document: document["samples"][number].update(fields)
    )


def step(**fields: Any) -> Break:
    return lambda path: edit(
        path / "index.json", lambda document: document["samples"][1]["steps"][0].update(fields)
    )


def shard_bytes(change: Callable[[bytes], bytes]) -> Break:
    return lambda path: (path / SHARDS[1]).write_bytes(change((path / SHARDS[1]).read_bytes()))


def tensor(**fields: Any) -> Break:
    entry = {"dtype": "BF16", "shape": [20, DIM], "data_offsets": [0, 40 * DIM]} | fields
    return shard_bytes(lambda _: safetensors_bytes({"hidden_states": entry}, bytes(40 * DIM)))


def header(value: object) -> Break:
    return shard_bytes(lambda _: safetensors_bytes(value, bytes(40 * DIM)))


def length(value: int) -> Break:
    return shard_bytes(lambda data: value.to_bytes(8, "little") + data[8:])


def instead(make: Callable[[Path], object]) -> Break:
    def replace(path: Path) -> None:
        (path / SHARDS[1]).unlink()
        make(path / SHARDS[1])

    return replace


def hard_link(path: Path) -> None:
    instead(lambda target: os.link(path / SHARDS[0], target))(path)


def remove(*names: str) -> Break:
    def spoil(path: Path) -> None:
        for name in names:
            (path / name).unlink()

    return spoil


def write(name: str, content: bytes) -> Break:
    """Other content under this name."""
    return lambda path: (path / name).write_bytes(content)


def put(name: str, make: Callable[[Path], object]) -> Break:
    """Something else than a file under this name."""

    def replace(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        make(path / name)

    return replace


def append(name: str, content: bytes) -> Break:
    """Something behind a file's content."""
    return lambda path: (path / name).write_bytes((path / name).read_bytes() + content)


def cut(name: str, change: Callable[[int], int]) -> Break:
    """A file shortened, from its size to another."""
    return lambda path: os.truncate(path / name, change((path / name).stat().st_size))
