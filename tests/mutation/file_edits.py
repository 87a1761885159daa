"""Edits of a directory of files: of one file's bytes or JSON, or of which file is where."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.mutation import byte_edits, json_edits

Files = Mapping[str, bytes]
"""The files of a directory, by relative name."""

_DOCUMENTS = (".json", ".jsonl", ".safetensors", ".journal")


class Place:
    """A directory that is damaged and made whole again."""

    def __init__(self, path: Path) -> None:
        """Of what lies at `path` now."""
        self.path = path
        self.files: Files = {
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
        self._touched: set[str] = set()

    def write(self, name: str, data: bytes) -> None:
        """Replace or make a file."""
        self._touched.add(name)
        self._clear(name)
        (self.path / name).write_bytes(data)

    def put(self, name: str, make: Callable[[Path], object]) -> None:
        """Remove a file and let `make` put something at its path."""
        self._touched.add(name)
        self._clear(name)
        make(self.path / name)

    def now(self) -> dict[str, bytes | None]:
        """What lies at each touched name: a regular file's bytes, None for anything else."""
        return {
            name: self.bytes_of(name) if (self.path / name).is_file() else None
            for name in self._touched
        }

    def bytes_of(self, name: str) -> bytes:
        """What a regular file there holds; nothing where there is none."""
        path = self.path / name
        return path.read_bytes() if path.is_file() else b""

    def restore(self) -> None:
        """Every file as it was."""
        for name in sorted(self._touched):
            self._clear(name)
            if name in self.files:
                (self.path / name).write_bytes(self.files[name])
        self._touched.clear()

    def _clear(self, name: str) -> None:
        path = self.path / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def edit(place: Place, rng: random.Random) -> str:
    """One edit of the directory, and what was done."""
    if rng.random() < 0.08:
        name = rng.choice(sorted(place.files))
        return f"{name}: {_rearranged(place, name, rng)}"
    documents = [name for name in sorted(place.files) if name.endswith(_DOCUMENTS)]
    name = rng.choice(documents if documents and rng.random() < 0.8 else sorted(place.files))
    data = place.bytes_of(name)
    if name.endswith(_DOCUMENTS) and rng.random() < 0.6:
        changed, what = json_edits.edit_inside(data, rng)
        if changed != data:
            place.write(name, changed)
            return f"{name}: {what}"
    changed, what = byte_edits.edit(data, rng)
    place.write(name, changed)
    return f"{name}: {what}"


def _rearranged(place: Place, name: str, rng: random.Random) -> str:
    other = rng.choice(sorted(place.files))
    kind = rng.choice([*_STRANGERS, "removed", "copied", "swapped", "linked"])
    if kind in _STRANGERS:
        place.put(name, _STRANGERS[kind])
    elif kind == "removed":
        place.put(name, lambda path: None)
    elif kind == "copied":
        place.write(name, place.files[other])
        return f"a copy of {other}"
    elif kind == "swapped":
        place.write(name, place.files[other])
        place.write(other, place.files[name])
        return f"swapped with {other}"
    elif other != name:
        place.put(name, lambda path: _link(place.path / other, path))
        return f"a hard link to {other}"
    return kind


def _link(source: Path, path: Path) -> None:
    if source.is_file():
        os.link(source, path)


_STRANGERS: dict[str, Callable[[Path], object]] = {
    "a directory": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "empty": lambda path: path.write_bytes(b""),
}


def changed(place: Place) -> Iterator[str]:
    """The names whose bytes are not what they were."""
    for name, data in place.now().items():
        if data != place.files.get(name):
            yield name
