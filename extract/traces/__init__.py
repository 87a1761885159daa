"""Annotated traces: the JSON Lines format, public layouts converted to it, checks and samples."""

from __future__ import annotations

from extract.traces._files import read_traces as read_traces
from extract.traces._files import write_traces as write_traces
from extract.traces._trace import Trace as Trace
from extract.traces._trace import TraceStep as TraceStep
