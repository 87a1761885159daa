"""The ways in which a model can be one that this decoder does not compute."""

from __future__ import annotations

from spectra.errors import InputError, UsageError


class UnsupportedModelError(InputError):
    """The config describes an architecture or a setting that is not implemented."""


class WeightsMismatchError(InputError):
    """Tensors are missing, unexpected or of another shape than the config says."""


class AttentionCheckError(UsageError):
    """The attention chosen for this device disagrees with the plain one."""


class MemoryLimitError(UsageError):
    """Weights and batches need more memory than there is, or than `--max-memory` allows."""
