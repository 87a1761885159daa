"""Every way annotated traces can be wrong that the rest of the project has no error for."""

from __future__ import annotations

from spectra.errors import InputError, OutputError, UsageError


class TraceLineTooLongError(InputError):
    """A line is longer than any trace may be."""


class CompressedTracesError(InputError):
    """A compressed stream is cut short or damaged."""


class NoTracesError(InputError):
    """A file, or a source to convert, holds no trace."""


class DuplicateTraceError(InputError):
    """Two traces have one id."""


class PromptChoiceError(InputError):
    """A trace has both of `prompt` and `messages`, or neither."""


class TraceTextError(InputError):
    """Text for the tokenizer holds half of a surrogate pair, which UTF-8 cannot encode."""


class StepSpanError(InputError):
    """A step's span is not a half-open range inside the response."""


class OverlappingStepsError(InputError):
    """Two steps of one trace share characters."""


class NothingToWriteError(OutputError):
    """There is no trace to write, and an empty file would be refused by the reader."""


class UnknownLayoutError(UsageError):
    """No adapter has this name."""


class LayoutError(InputError):
    """A source does not have the layout that its adapter reads."""


class ConversionError(InputError):
    """Records or steps of a source cannot be converted, and leaving them out was not asked for."""
