"""SHA256SUMS: what `spectra verify` writes into a directory and compares it with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from spectra.artifacts import (
    MANIFEST_NAME,
    FileDigest,
    HubDirectory,
    digest_file,
    open_artifact,
    verify_artifact,
)
from spectra.artifacts.manifest import checked_manifest, write_manifest
from spectra.errors import (
    InputError,
    ManifestError,
    ManifestMismatchError,
    OutputError,
    ShardChangedError,
    UsageError,
)
from tests.artifact_files import SHARDS, write_tiny
from tests.cli_runs import call, files_under


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny artifact with its manifest."""
    path = write_tiny(tmp_path_factory.mktemp("manifest") / "tiny")
    assert verify_artifact(path, write=True).manifest == "written"
    return path


@pytest.fixture
def tiny(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "tiny"))


def test_it_has_every_file_and_is_written_alike(tiny: Path) -> None:
    content = (tiny / MANIFEST_NAME).read_bytes()
    report = verify_artifact(tiny)
    assert report.manifest == "compared"
    assert checked_manifest(tiny) == {file.name: file for file in report.files}
    assert {file.name for file in report.files} | {MANIFEST_NAME} == files_under(tiny)
    verify_artifact(tiny, write=True)
    assert (tiny / MANIFEST_NAME).read_bytes() == content
    (tiny / MANIFEST_NAME).unlink()
    assert verify_artifact(tiny).manifest is None


def test_sha256sum_checks_it_and_may_have_written_it(tiny: Path) -> None:
    command = ["sha256sum", "--check", "--strict", MANIFEST_NAME]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK\n") == 6
    assert done.stderr == ""
    names = [*files_under(tiny) - {MANIFEST_NAME}]
    made = subprocess.run(["sha256sum", "-b", *names], cwd=tiny, capture_output=True, check=True)
    (tiny / MANIFEST_NAME).write_bytes(made.stdout.replace(b"\n", b"\r\n"))
    assert verify_artifact(tiny).manifest == "compared"


def test_names_that_need_escapes(tmp_path: Path) -> None:
    names = ["a\nb", "c\rd", "# size 1 e", "  f", "g\\h"]
    for name in names:
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path, [digest_file(tmp_path, name) for name in names[:4]])
    found = checked_manifest(tmp_path)
    assert found is not None
    assert list(found) == names[:4]
    command = ["sha256sum", "--check", "--strict", MANIFEST_NAME]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    write_manifest(tmp_path, [FileDigest("g\\h", 1, "0" * 64)])
    with pytest.raises(ManifestError, match="holds a path separator"):
        checked_manifest(tmp_path)


def test_all_that_differs_is_named_at_once(tiny: Path) -> None:
    flipped = bytearray((tiny / SHARDS[0]).read_bytes())
    flipped[-1] ^= 1
    (tiny / SHARDS[0]).write_bytes(flipped)
    (tiny / SHARDS[1]).write_bytes(b"x")
    (tiny / "index.json").unlink()
    (tiny / "stray.safetensors").touch()
    (tiny / "notes.txt").touch()
    before = files_under(tiny)
    result = call("verify", tiny)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1
    for text in (
        f"Error: {tiny}: 4 files are not as SHA256SUMS says: ",
        "'index.json' is missing",
        f"'{SHARDS[0]}' has the SHA-256 {hashlib.sha256(flipped).hexdigest()[:12]}…, not ",
        f"'{SHARDS[1]}' has 1 bytes, not ",
        "'stray.safetensors' is not listed",
        "`spectra verify --write-manifest`",
    ):
        assert text in result.stderr
    assert files_under(tiny) == before


def test_a_flipped_bit_of_the_data_passes_every_other_check(tiny: Path) -> None:
    data = bytearray((tiny / SHARDS[1]).read_bytes())
    data[-2] ^= 1
    (tiny / SHARDS[1]).write_bytes(data)
    open_artifact(tiny)
    with pytest.raises(ManifestMismatchError, match=f"1 files are not .*'{SHARDS[1]}' has the SHA"):
        verify_artifact(tiny)
    report = verify_artifact(tiny, write=True)
    assert verify_artifact(tiny).files == report.files


def test_what_stands_in_a_files_place(tiny: Path) -> None:
    (tiny / SHARDS[1]).unlink()
    os.mkfifo(tiny / SHARDS[1])
    with pytest.raises(ManifestMismatchError, match="is no regular file"):
        verify_artifact(tiny)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "it lists no file"),
        (b"# size 3 a\n\n", "it lists no file"),
        (b"\xff\n", "byte 0 is not UTF-8"),
        (b"abc  config.json\n", "line 1 is 'abc  config.json'"),
        (b"0" * 64 + b"  ../config.json\n", "line 1: the name '../config.json' holds a path sep"),
        (b"0" * 64 + b"  ..\n", "line 1: the name '..' leads out of the directory"),
        (b"0" * 64 + b"  SHA256SUMS\n", "line 1: the name 'SHA256SUMS' is the list itself"),
        ((b"0" * 64 + b"  a\n") * 2, "line 2: the name 'a' is listed twice"),
    ],
)
def test_malformed(tiny: Path, content: bytes, text: str) -> None:
    (tiny / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        verify_artifact(tiny)
    assert str(caught.value).startswith(f"{tiny / MANIFEST_NAME}: {text}")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_no_file(tiny: Path, make: Callable[[Path], object]) -> None:
    (tiny / MANIFEST_NAME).unlink()
    make(tiny / MANIFEST_NAME)
    with pytest.raises(InputError, match=MANIFEST_NAME):
        verify_artifact(tiny)


def test_nothing_is_written_for_a_directory_that_is_unsound(tiny: Path) -> None:
    (tiny / MANIFEST_NAME).unlink()
    (tiny / SHARDS[1]).write_bytes(b"")
    before = files_under(tiny)
    assert call("verify", tiny, "--write-manifest").exit_code == 3
    assert files_under(tiny) == before


def test_a_write_that_fails_keeps_the_old_one(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, before = (tiny / MANIFEST_NAME).read_bytes(), files_under(tiny)

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="SHA256SUMS cannot be written: No space left"):
        verify_artifact(tiny, write=True)
    assert (tiny / MANIFEST_NAME).read_bytes() == content
    assert files_under(tiny) == before


def test_another_writing_takes_it_away(tiny: Path) -> None:
    write_tiny(tiny)
    assert not (tiny / MANIFEST_NAME).exists()


def test_on_the_command_line(tiny: Path) -> None:
    result = call("verify", tiny.parent, "--write-manifest")
    assert result.exit_code == 0
    assert result.stdout.endswith(" 2 traces, 4 steps, which SHA256SUMS now lists\n")
    assert call("verify", tiny).stdout.endswith(" 4 steps, as SHA256SUMS lists them\n")
    (model,) = json.loads(call("verify", tiny, "--json").stdout)["models"]
    assert model["manifest"] == "compared"


def test_none_is_written_into_the_hubs_cache(tiny: Path) -> None:
    place = HubDirectory("owner/name", "0" * 40, "tiny", tiny)
    with pytest.raises(UsageError, match="is on the hub, and SHA256SUMS would go into its cache"):
        verify_artifact(place, write=True)


def test_a_file_that_changes_while_it_is_hashed(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.pread

    def growing(handle: int, size: int, offset: int) -> bytes:
        with open(tiny / SHARDS[1], "ab") as stream:
            stream.write(b"x" * (offset == 0))
        return original(handle, size, offset)

    monkeypatch.setattr(os, "pread", growing)
    with pytest.raises(ShardChangedError, match="changed while it was hashed"):
        digest_file(tiny, SHARDS[1])
