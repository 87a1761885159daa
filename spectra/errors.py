"""Every way Spectra can stop, as one tree of exceptions.

A message says what is wrong, where (file, field, numbers), what was expected and what to do. The
command line prints the message alone and exits with the class's `exit_code`.
"""

from __future__ import annotations


class SpectraError(Exception):
    """Base of all deliberate errors; exit code 1."""

    exit_code = 1


class UsageError(SpectraError):
    """The request itself cannot be met: an unknown option value, an absent backend; exit code 2."""

    exit_code = 2


class BackendUnavailableError(UsageError):
    """The backend asked for has no device here."""


class UnknownConventionError(UsageError):
    """No preset convention has this name."""


class ConfigFileError(UsageError):
    """The file of `--config` is neither TOML nor a run.json, or has a key or type it may not."""


class PeerError(SpectraError):
    """Another process of a distributed run ended, and this one with it."""


class DisagreementError(UsageError):
    """The processes of a distributed run were not given the same files, options or versions."""


class InputError(SpectraError):
    """What was read is missing, malformed or contradicts itself; exit code 3."""

    exit_code = 3


class NonFiniteRowsError(InputError):
    """A hidden state holds NaN or infinity and the run was asked to stop on it."""


class UndefinedGroupsError(SpectraError):
    """Everything was written, but some groups have no value and `--strict` was given; code 4."""

    exit_code = 4


class SolverError(SpectraError):
    """Finite rows whose singular values no algorithm found; exit code 1."""


class DeviceMemoryError(SpectraError):
    """A device's memory ran out, with smaller blocks too; exit code 1."""


# ---- files (spectra.files, spectra.atomic) ----------------------------------------------------


class MissingFileError(InputError):
    """A file that must be there is not."""


class NotARegularFileError(InputError):
    """A directory, FIFO, socket or device stands where a file must be."""


class UnreadableFileError(InputError):
    """The operating system refused to open or read a file."""


class GitLfsPointerError(InputError):
    """A Git-LFS pointer lies in place of the data."""


class FileTooLargeError(InputError):
    """A file is larger than its kind may be."""


class OutputError(SpectraError):
    """A file could not be written; exit code 3."""

    exit_code = 3


class DirectoryBusyError(UsageError):
    """Another process is writing to the directory."""


# ---- JSON (spectra.strict_json) ---------------------------------------------------------------


class JsonEncodingError(InputError):
    """The text is not plain UTF-8: a byte-order mark, UTF-16 or invalid bytes."""


class JsonSyntaxError(InputError):
    """The text is not JSON."""


class JsonTrailingTextError(InputError):
    """Something follows the JSON document."""


class JsonDuplicateKeyError(InputError):
    """An object names one key twice."""


class JsonNumberError(InputError):
    """A number is NaN, infinite or too long to read."""


class JsonDepthError(InputError):
    """Arrays and objects are nested too deeply."""


# ---- config.json, index.json (spectra.artifacts) ----------------------------------------------


class ArtifactNotFoundError(InputError):
    """The source is neither a model directory nor the parent of any."""


class MissingFieldError(InputError):
    """A required field is absent."""


class FieldTypeError(InputError):
    """A field has the wrong JSON type (true is not an integer, nor is 3.0)."""


class FieldValueError(InputError):
    """A field has the right type and an impossible value."""


class TotalsError(InputError):
    """A total in config.json disagrees with what is there."""


class LayerMismatchError(InputError):
    """Layers are mixed: a file's name, `shards`, `layers` and `saved_layers` must agree."""


class UnknownLayerError(UsageError):
    """The layer asked for was not saved."""


class DuplicateSampleError(InputError):
    """Two samples have one id."""


class SampleRangeError(InputError):
    """A sample's tokens overlap another's or lie outside the shards."""


class StepRangeError(InputError):
    """A step's token range is not a half-open integer range inside its sample."""


# ---- shards (spectra.artifacts) ---------------------------------------------------------------


class ShardNameError(InputError):
    """A shard's name is not the plain name of a file beside config.json."""


class DuplicateShardError(InputError):
    """One file is listed twice, so its rows would count twice."""


class MissingShardsError(InputError):
    """Shards that config.json lists are not there."""


class ShardRangeError(InputError):
    """The shards' token ranges overlap, leave a gap or do not end at num_tokens."""


class TruncatedShardError(InputError):
    """A shard is shorter than its header says."""


class TrailingBytesError(InputError):
    """A shard is longer than its header says."""


class ShardHeaderError(InputError):
    """A shard's safetensors header is malformed."""


class MissingTensorError(InputError):
    """A shard has no tensor named hidden_states."""


class ShardDtypeError(InputError):
    """A shard's dtype differs from config.json's storage_dtype."""


class ShardShapeError(InputError):
    """A shard's shape differs from what config.json says."""


class ShardChangedError(InputError):
    """A shard was changed, shortened or replaced while it was in use."""


class ManifestError(InputError):
    """SHA256SUMS does not have the form that `sha256sum` reads."""


class ManifestMismatchError(InputError):
    """Files of a directory are missing, changed or new since its SHA256SUMS was written."""


# ---- results (spectra.results) ----------------------------------------------------------------


class ResultsNotFoundError(InputError):
    """The directory is neither a finished run's nor the parent of any."""


class ResultsChangedError(InputError):
    """A metric file is not the one that its run wrote."""


class ResultsFormatError(InputError):
    """A run's record or metric file has not the shape that this version writes."""


# ---- parts of a run (spectra.parts) -----------------------------------------------------------


class PartsMissingError(InputError):
    """Not all parts of a run are there to be merged."""


class PartMismatchError(InputError):
    """A part was collected from another source, or with other options or versions."""


class PartFormatError(InputError):
    """A part's file is cut short, or is none."""


# ---- the hub (spectra.hub, spectra.artifacts) -------------------------------------------------


class HubAddressError(UsageError):
    """What begins as an address of the hub does not name a dataset's directory."""


class UnknownRepositoryError(InputError):
    """The hub has no such model or dataset, or does not show it to this user."""


class GatedRepositoryError(InputError):
    """The repository is behind terms that this user has not accepted."""


class UnknownRevisionError(InputError):
    """The repository has no such branch, tag or commit."""


class NotInCacheError(InputError):
    """The hub cannot be asked, and the local cache does not hold the files."""


class DownloadError(InputError):
    """The hub answered with an error, or the download could not be written."""


# ---- category maps (spectra.categories) -------------------------------------------------------


class CategoryMapError(InputError):
    """A category map file is malformed or contradicts itself."""


class UnknownCategoryMapError(UsageError):
    """No preset and no file has this name."""
