"""Every way the store can refuse or fail, beside what `spectra.errors` has."""

from __future__ import annotations

from pathlib import Path

from spectra.errors import InputError, OutputError, UsageError


class RepeatedLayerError(UsageError):
    """One layer is to be saved twice."""


class FingerprintMismatchError(UsageError):
    """The directory was begun or completed with other options, inputs or software."""


class ForeignArtifactError(UsageError):
    """The directory holds an artifact or a config.json that no extraction of ours began."""


class ForeignCardError(UsageError):
    """A README.md stands where a dataset's card is to go, and is not one that was written there."""


class NotADirectoryPathError(UsageError):
    """Something else than a directory stands where the artifact is to go."""


class DirectoryNotSharedError(UsageError):
    """The processes of an extraction do not see one directory."""


class DamagedArtifactError(InputError):
    """The directory was completed, but its files are no longer whole."""


class JournalError(InputError):
    """The journal does not begin with the record of the extraction that it belongs to."""


class DiskSpaceError(OutputError):
    """The disk has less free space than the plan needs."""


class UnfinishedStoreError(OutputError):
    """The artifact was to be completed while batches were still unwritten."""


def interrupted(path: Path, error: OSError) -> OutputError:
    """The error to raise when the operating system refuses a write in the middle of a run."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}. The samples finished so far are "
        "kept. Check the disk's free space and the directory's permissions, then run the same "
        "command again: it goes on from there."
    )
