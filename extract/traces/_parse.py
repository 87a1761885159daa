"""One line's JSON object to a `Trace`, or the reason why it is none."""

from __future__ import annotations

from collections.abc import Iterable

from extract.traces._trace import NO_FIELDS, Trace, TraceStep
from extract.traces.errors import (
    OverlappingStepsError,
    PromptChoiceError,
    StepSpanError,
    TraceTextError,
)
from spectra.errors import FieldTypeError, FieldValueError
from spectra.json_fields import Fields, show
from spectra.notes import Notes
from spectra.strict_json import JSON, JSONObject

MAX_TOKEN_ID = 2**31 - 1

_TRACE_FIELDS = frozenset(
    {
        "trace_id",
        "response",
        "steps",
        "prompt",
        "messages",
        "problem_id",
        "prompt_token_ids",
        "response_token_ids",
        "generator",
        "metadata",
    }
)
_STEP_FIELDS = frozenset({"char_start", "char_end", "segment", "category"})


def parse_trace(value: JSON, where: str, notes: Notes) -> Trace:
    """The trace in `value`; `where` names it in errors, `notes` counts unknown segments.

    Steps are sorted by position.
    """
    record = Fields.of(value, where)
    trace_id = record.identifier("trace_id")
    response = record.text("response")
    _refuse_surrogates(response, f"{where}: response")
    prompt, messages = _prompt(record)
    return Trace(
        trace_id=trace_id,
        response=response,
        steps=_steps(record, len(response), notes),
        prompt=prompt,
        messages=messages,
        problem_id=record.identifier_or_none("problem_id"),
        prompt_token_ids=_token_ids(record, "prompt_token_ids"),
        response_token_ids=_token_ids(record, "response_token_ids"),
        generator=_text_or_none(record, "generator"),
        metadata=_object_or_empty(record, "metadata"),
        extra=record.others(_TRACE_FIELDS),
    )


# ---- text ---------------------------------------------------------------------------------------


def _prompt(record: Fields) -> tuple[str | None, tuple[JSONObject, ...] | None]:
    given = [key for key in ("prompt", "messages") if record.fields.get(key) is not None]
    if len(given) != 1:
        raise PromptChoiceError(
            f"{record.where} has {'both of' if given else 'neither of'} prompt and messages. "
            "Expected one: the rendered prompt as text, or the messages for a chat template."
        )
    if given == ["messages"]:
        return None, _messages(record)
    prompt = _text_or_none(record, "prompt")
    assert prompt is not None
    _refuse_surrogates(prompt, f"{record.where}: prompt")
    return prompt, None


def _messages(record: Fields) -> tuple[JSONObject, ...]:
    messages = []
    for number, value in enumerate(record.array("messages")):
        message = Fields.of(value, f"{record.where}: messages[{number}]")
        message.text("role")
        for key, text in _strings(value, "message"):
            _refuse_surrogates(text, f"{message.where}: {key[:40]}")
        messages.append(message.fields)
    if not messages:
        raise FieldValueError(f"{record.where}: messages is empty; expected one message or more.")
    return tuple(messages)


def _strings(value: JSON, key: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _strings(child, name)
    elif isinstance(value, list):
        for child in value:
            yield from _strings(child, key)


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TraceTextError(
            f"{where} has half of a surrogate pair ({text[error.start]!a}) at character "
            f"{error.start}, which no tokenizer can encode. Write the character as UTF-8, or as "
            "both halves of the pair."
        ) from None


def _text_or_none(record: Fields, key: str) -> str | None:
    value = record.fields.get(key)
    if value is not None and type(value) is not str:
        raise FieldTypeError(f"{record.where}: {key} is {show(value)}; expected a string.")
    return value


def _object_or_empty(record: Fields, key: str) -> JSONObject:
    value = record.fields.get(key)
    return NO_FIELDS if value is None else Fields.of(value, f"{record.where}: {key}").fields


def _token_ids(record: Fields, key: str) -> tuple[int, ...] | None:
    if record.fields.get(key) is None:
        return None
    ids = []
    for number, value in enumerate(record.array(key)):
        if type(value) is not int or not 0 <= value <= MAX_TOKEN_ID:
            kind = FieldValueError if type(value) is int else FieldTypeError
            raise kind(
                f"{record.where}: {key}[{number}] is {show(value)}; expected a token id, an "
                f"integer from 0 to {MAX_TOKEN_ID}."
            )
        ids.append(value)
    return tuple(ids)


# ---- steps --------------------------------------------------------------------------------------


def _steps(record: Fields, length: int, notes: Notes) -> tuple[TraceStep, ...]:
    numbered = [
        (_step(value, f"{record.where}: steps[{number}]", length, notes), number)
        for number, value in enumerate(record.array("steps"))
    ]
    numbered.sort(key=lambda pair: (pair[0].char_start, pair[0].char_end))
    _refuse_overlap(numbered, record.where)
    return tuple(step for step, _ in numbered)


def _step(value: JSON, where: str, length: int, notes: Notes) -> TraceStep:
    record = Fields.of(value, where)
    start, end = (_offset(record, key) for key in ("char_start", "char_end"))
    if not 0 <= start <= end <= length:
        raise StepSpanError(
            f"{where} spans characters [{show(start)}, {show(end)}) of a response of {length}. "
            "Expected 0 <= char_start <= char_end <= the response's length, counted in characters "
            "(not in bytes or UTF-16 units)."
        )
    segment, category = (_text_or_none(record, key) for key in ("segment", "category"))
    return TraceStep(
        start,
        end,
        notes.segment(segment) if segment else None,
        notes.category(category) if category else None,
        NO_FIELDS if record.fields.keys() <= _STEP_FIELDS else record.others(_STEP_FIELDS),
    )


def _offset(record: Fields, key: str) -> int:
    value = record.get(key)
    if type(value) is not int:
        raise FieldTypeError(
            f"{record.where}: {key} is {show(value)}; expected an integer, counted in characters."
        )
    return value


def _refuse_overlap(numbered: list[tuple[TraceStep, int]], where: str) -> None:
    """`numbered` is sorted; empty steps share no character with any other."""
    before: tuple[TraceStep, int] | None = None
    for step, number in numbered:
        if step.char_start == step.char_end:
            continue
        if before is not None and step.char_start < before[0].char_end:
            raise OverlappingStepsError(
                f"{where}: steps[{before[1]}] spans characters [{before[0].char_start}, "
                f"{before[0].char_end}) and steps[{number}] spans [{step.char_start}, "
                f"{step.char_end}). Expected every character in one step at most."
            )
        before = step, number
