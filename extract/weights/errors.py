"""Every way that opening a checkpoint can fail."""

from __future__ import annotations

from spectra.errors import InputError, UsageError

# ---- which model (extract.weights) ------------------------------------------------------------


class ModelNotFoundError(InputError):
    """The model's name is no path that exists and no name of the hub."""


class NotAModelError(InputError):
    """What is there is neither a Hugging Face model directory nor a GGUF file."""


class RevisionNotApplicableError(UsageError):
    """A revision was asked of a local directory or file."""


# ---- model directories (extract.weights._shards, extract.weights._texts) ----------------------


class MissingWeightsError(InputError):
    """A model directory has neither model.safetensors nor its index."""


class WeightMapError(InputError):
    """The index and the files disagree on which tensor is where."""


class WeightDtypeError(InputError):
    """Tensors are stored in a dtype that is not read: quantised, or not floating point."""


class MissingTokenizerError(InputError):
    """The model has no tokenizer.json."""


class ChatTemplateFileError(InputError):
    """The file chat_template.jinja is not text."""


# ---- GGUF (extract.weights.gguf) --------------------------------------------------------------


class NotGgufError(InputError):
    """The file does not begin as a GGUF file does."""


class GgufVersionError(InputError):
    """A version or byte order of GGUF that is not read."""


class TruncatedGgufError(InputError):
    """A GGUF file is shorter than its header says."""


class GgufHeaderError(InputError):
    """A GGUF file's header is malformed."""


class SplitGgufError(InputError):
    """One of several files that a GGUF model was split into."""


class UnsupportedArchitectureError(InputError):
    """A GGUF model of an architecture, or with a setting, that cannot be computed exactly here."""


class UnsupportedTensorError(InputError):
    """A GGUF tensor that has no counterpart in the model."""


class GgufTokenizerError(InputError):
    """A GGUF tokenizer that cannot be rebuilt exactly."""
