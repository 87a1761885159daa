"""Making artifacts: annotated traces through a language model, hidden states to shards.

The names below are the public interface, imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extract.config import ExtractConfig as ExtractConfig
    from extract.pipeline import Extraction as Extraction
    from extract.pipeline import run as run
    from extract.spectral import measure as measure
    from extract.text import TextTokenizer as TextTokenizer
    from extract.text import encode_trace as encode_trace
    from extract.traces import Trace as Trace
    from extract.traces import TraceStep as TraceStep
    from extract.traces import read_traces as read_traces
    from extract.traces import write_traces as write_traces
    from extract.traces.samples import sample_traces as sample_traces
    from extract.weights import open_checkpoint as open_checkpoint

_HOME = {
    "ExtractConfig": "config",
    "Extraction": "pipeline",
    "TextTokenizer": "text",
    "Trace": "traces",
    "TraceStep": "traces",
    "encode_trace": "text",
    "measure": "spectral",
    "open_checkpoint": "weights",
    "read_traces": "traces",
    "run": "pipeline",
    "sample_traces": "traces.samples",
    "write_traces": "traces",
}
__all__ = [*_HOME]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'extract' has no attribute {name!r}")
    value = getattr(import_module(f"extract.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
