"""One annotated trace: what a model was given, what it wrote, and the labelled steps of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from spectra.strict_json import JSON, JSONObject

NO_FIELDS: Mapping[str, JSON] = MappingProxyType({})
"""Shared by every object without further fields."""


def _no_fields() -> JSONObject:
    return NO_FIELDS


@dataclass(frozen=True, slots=True)
class TraceStep:
    """A labelled span of the response, in characters, half-open.

    Attributes:
        char_start: The first character, counted from 0 in `Trace.response`.
        char_end: One past the last character; equal to `char_start` for an empty step.
        segment: "thought", "solution" or None.
        category: The label, white space runs as one blank, or None.
        extra: Fields that this project does not know, kept for whoever does.
    """

    char_start: int
    char_end: int
    segment: str | None
    category: str | None
    extra: JSONObject = field(default_factory=_no_fields, hash=False)


@dataclass(frozen=True, slots=True)
class Trace:
    """A response and its steps, sorted by position and without overlap.

    Attributes:
        trace_id: Unique within a file.
        response: The raw text that the model wrote, thinking markup included.
        steps: The labelled spans; text between them belongs to no step.
        prompt: The rendered prompt, ending where the model began to write. Exactly one of `prompt`
            and `messages` is given.
        messages: The conversation, to be rendered by a chat template.
        problem_id: The problem solved; traces of one problem are resampled together.
        prompt_token_ids: The prompt's tokens, where they are known.
        response_token_ids: The response's tokens, where they are known.
        generator: The model that wrote the response.
        metadata: Whatever the producer tells about the trace.
        extra: Fields that this project does not know.
    """

    trace_id: str
    response: str
    steps: tuple[TraceStep, ...]
    prompt: str | None = None
    messages: tuple[JSONObject, ...] | None = None
    problem_id: str | None = None
    prompt_token_ids: tuple[int, ...] | None = None
    response_token_ids: tuple[int, ...] | None = None
    generator: str | None = None
    metadata: JSONObject = field(default_factory=_no_fields, hash=False)
    extra: JSONObject = field(default_factory=_no_fields, hash=False)
