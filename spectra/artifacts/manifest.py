"""SHA256SUMS: the hash and size of every file of an artifact, to be compared later or elsewhere.

A line a file as `sha256sum` writes it, so that `sha256sum --check SHA256SUMS` compares hashes too;
the sizes are comments, which it passes over. One that `sha256sum` wrote is read as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from spectra.artifacts.digest import FileDigest, digest_file
from spectra.artifacts.shardnames import fault_in_name
from spectra.atomic import write_bytes
from spectra.errors import InputError, ManifestError, ManifestMismatchError
from spectra.files import read_capped, stat_regular

MANIFEST_NAME = "SHA256SUMS"

_LARGEST = 64 << 20
_HASH = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_SIZE = re.compile(r"# size (\d{1,16}) (\\?)(.+)", re.DOTALL)
# sha256sum marks a line with such a name by a backslash at its beginning.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def write_manifest(directory: Path, files: Iterable[FileDigest]) -> Path:
    """Write the directory's manifest, replacing one that is there; raises `OutputError`.

    A link that the directory came with is replaced and not followed: it may lead anywhere.
    """
    lines = ["# Files of hidden states, made and checked by `spectra verify`.\n"]
    for file in files:
        mark, name = _escape(file.name)
        lines += [f"# size {file.size} {mark}{name}\n", f"{mark}{file.sha256}  {name}\n"]
    path = directory / MANIFEST_NAME
    write_bytes(path, "".join(lines).encode(), follow=False)
    return path


def checked_manifest(directory: Path) -> Mapping[str, FileDigest] | None:
    """The digests of the files that the manifest lists, all of them found to be as it says.

    None where the directory has no manifest. Other files than shards may lie beside those listed.

    Raises:
        ManifestError: the manifest is malformed.
        ManifestMismatchError: files are missing or changed, or shards are there that it does not
            list; all are named.
    """
    path = directory / MANIFEST_NAME
    if not os.path.lexists(path):
        return None
    listed = _parse(read_capped(path, _LARGEST), path)
    found, faults = dict[str, FileDigest](), list[str]()
    for name, (size, sha256) in listed.items():
        fault = _compare(directory, name, size, sha256, found)
        if fault:
            faults.append(f"{name!a} {fault}")
    shards = {file for file in os.listdir(directory) if file.endswith(".safetensors")}
    faults += [f"{name!a} is not listed" for name in sorted(shards - listed.keys())]
    if faults:
        raise ManifestMismatchError(
            f"{directory}: {len(faults)} files are not as {MANIFEST_NAME} says: "
            f"{'; '.join(faults)}. Fetch those again; if they are as they should be, write the "
            "list anew with `spectra verify --write-manifest`."
        )
    return found


def _compare(
    directory: Path, name: str, size: int | None, sha256: str, found: dict[str, FileDigest]
) -> str | None:
    """What is wrong with a file; None, and its digest among the `found`, where nothing is."""
    path = directory / name
    if not os.path.exists(path):
        return "is missing"
    try:
        there = stat_regular(path).st_size
    except InputError:
        return "is no regular file"
    if size is not None and there != size:
        return f"has {there:,} bytes, not {size:,}"
    digest = digest_file(directory, name)
    if digest.sha256 != sha256:
        return f"has the SHA-256 {digest.sha256[:12]}…, not {sha256[:12]}…"
    found[name] = digest
    return None


def _parse(content: bytes, path: Path) -> dict[str, tuple[int | None, str]]:
    """Size (None where no comment tells it) and hash by name."""
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed(path, f"byte {error.start} is not UTF-8") from None
    sizes, hashes = dict[str, int](), dict[str, str]()
    for number, line in enumerate(lines, 1):
        if size := _SIZE.fullmatch(line):
            sizes[_unescape(size[2], size[3])] = int(size[1])
        if not line.strip() or line.startswith("#"):
            continue
        match = _HASH.fullmatch(line.removesuffix("\r"))
        if match is None:
            raise _malformed(path, f"line {number} is {line[:60]!a}")
        name = _unescape(match[1], match[3])
        fault = "is listed twice" if name in hashes else fault_in_name(name)
        if fault or name == MANIFEST_NAME:
            fault = fault or "is the list itself"
            raise _malformed(path, f"line {number}: the name {name[:80]!a} {fault}")
        hashes[name] = match[2].lower()
    if not hashes:
        raise _malformed(path, "it lists no file")
    return {name: (sizes.get(name), sha256) for name, sha256 in hashes.items()}


def _malformed(path: Path, fault: str) -> ManifestError:
    return ManifestError(
        f"{path}: {fault}. Expected lines of a SHA-256, two blanks and the name of a file beside "
        "it, as `sha256sum` writes them; remove the file, or write it anew."
    )


def _escape(name: str) -> tuple[str, str]:
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in name)
    return ("\\" if escaped != name else ""), escaped


def _unescape(mark: str, name: str) -> str:
    if not mark:
        return name
    letters = {escape[1]: letter for letter, escape in _ESCAPES.items()}
    return _ESCAPED.sub(lambda match: letters.get(match[1], match[0]), name)
