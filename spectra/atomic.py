"""Writing files so that a reader finds the whole old one or the whole new one.

A temporary in the same directory is written, flushed to the disk and renamed over the final name,
then the directory itself is flushed. Files that belong together are all written first and then
renamed, so that a full disk is met while the old ones still stand. A killed process leaves at most
files named `.spectra-….tmp`, which the next writer of the same file removes (`staging.py`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from spectra.errors import OutputError
from spectra.staging import in_use, is_temporary, staged, sync

_ATTEMPTS = 100


def write_bytes(path: Path, data: bytes, *, follow: bool = True) -> None:
    """Put `data` at `path`, replacing what is there; raises `OutputError`.

    Of a symbolic link the file that it points to is replaced; not to `follow` it, the link itself.
    """
    with replacing(path, follow=follow) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path, within: Path | None = None, *, follow: bool = True) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file at `path` when the block ends without an exception.

    Otherwise the temporary is removed and `path` is as it was. The mode is 0644 less the umask. Of
    a symbolic link the file that it points to is replaced, or the link itself, where it is not to
    be followed. The temporary is beside `path`, or in the directory `within`, on the same disk.
    Raises `OutputError` when the operating system refuses, or when something else than a file
    stands at `path`.
    """
    path = path if not follow and path.is_symlink() else _target(path)
    temporary = None
    try:
        with staged(path, within) as (stream, temporary):
            yield stream
            sync(stream)
            os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException as error:
        _discard(temporary)
        if isinstance(error, OSError):
            raise output_error(path, error) from None
        raise


def write_together(files: Mapping[Path, bytes], marker: Path, gone: Collection[Path] = ()) -> None:
    """Replace files that belong together; `marker`, one of them, is never there with a mixture.

    All are first written under temporary names: what fails then leaves the old ones as they were.
    Then the marker is removed, the others get their names, those that are `gone` are removed, and
    the marker comes last. So old files have the old marker, new ones the new, and a reader that
    finds none knows of an unfinished change. Directories are made where absent. The caller holds a
    lock: two processes at a time would mix their files.
    Raises what `replacing` raises.
    """
    targets = {_target(path): data for path, data in files.items()}
    marker = _target(marker)
    waiting: dict[Path, Path] = {}
    made: list[Path] = []
    path = marker
    try:
        for path, data in targets.items():
            made += make_directory(path.parent)
            with staged(path) as (stream, waiting[path]):
                stream.write(data)
                sync(stream)
        path = marker
        _remove(marker)
        for path in [path for path in targets if path != marker]:
            os.replace(waiting[path], path)
            del waiting[path]
        changed = {path.parent for path in targets}
        for path in filter(os.path.lexists, gone):
            path.unlink()
            changed.add(path.parent)
        for path in sorted(changed):
            sync_directory(path)
        path = marker
        os.replace(waiting[marker], marker)
        del waiting[marker]
        sync_directory(marker.parent)
    except BaseException as error:
        for temporary in waiting.values():
            _discard(temporary)
        discard_empty(made)
        if isinstance(error, OSError):
            raise output_error(path, error) from None
        raise


def make_directory(path: Path) -> list[Path]:
    """Make the directory with those above it; what was not there, the uppermost first.

    Raises `OutputError`, and leaves none behind then.
    """
    made: list[Path] = []
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for place in (*reversed(path.parents), path):
                    if not place.is_dir() and _made_by_us(place):
                        made.append(place)
                        sync_directory(place.parent)
            except FileNotFoundError:  # another process has removed one of them, being empty
                if attempt == _ATTEMPTS:
                    raise
            else:
                break
    except BaseException as error:
        discard_empty(made)
        if isinstance(error, OSError):
            raise output_error(path, error) from None
        raise
    return made


def _made_by_us(path: Path) -> bool:
    """Make a directory; False where another process was quicker."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        return False
    return True


def discard_empty(directories: Iterable[Path]) -> None:
    """Remove those directories, given the uppermost first, that hold nothing."""
    for path in reversed(list(directories)):
        with suppress(OSError):
            path.rmdir()


def sweep(directory: Path) -> None:
    """Remove the temporaries that killed processes left in a directory; the caller has a lock.

    Raises `OutputError`.
    """
    try:
        for path in sorted(directory.iterdir()):
            if is_temporary(path.name) and not in_use(path):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(directory, error) from None


def free_bytes(directory: Path) -> int:
    """Free bytes on the disk where a directory is, or will be made; raises `OutputError`."""
    places = (directory.absolute(), *directory.absolute().parents)
    place = directory
    try:
        place = next(place for place in places if place.exists())
        return shutil.disk_usage(place).free
    except OSError as error:
        raise output_error(place, error) from None


def sync_directory(path: Path) -> None:
    """Flush a directory, so that a rename or removal in it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def output_error(path: Path, error: OSError) -> OutputError:
    """The error to raise when the operating system refuses to write `path`."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}. What stands under that "
        "name is whole. Check the disk's free space and the directory's permissions, and run again."
    )


def _target(path: Path) -> Path:
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OutputError(
            f"{path} is there and is not a regular file; it stays as it is. Choose another name."
        )
    return path


def _remove(path: Path) -> None:
    """For good, before anything else changes."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_directory(path.parent)


def _discard(path: Path | None) -> None:
    # The error that brought us here tells the user more than a second one would.
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
