"""index.json: from JSON to an `Index`. Half a million steps pass here, so steps stay plain dicts.

A step is checked by one expression; only when that fails does `_fault` look for the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spectra.artifacts._config import parse_version
from spectra.artifacts.layout import NO_EXTRA, Index, Sample, Step
from spectra.errors import (
    DuplicateSampleError,
    FieldTypeError,
    InputError,
    MissingFieldError,
    SampleRangeError,
    StepRangeError,
)
from spectra.json_fields import MAX_INTEGER, Fields, show
from spectra.notes import Notes
from spectra.strict_json import JSON, JSONObject

_INDEX_FIELDS = frozenset({"format_version", "samples"})
_SAMPLE_FIELDS = frozenset(
    {"sample_id", "problem_id", "global_offset", "num_tokens", "prompt_tokens", "steps"}
)
_RANGE_FIELDS = ("token_start", "token_end", "global_start", "global_end")
_OPTIONAL_FIELDS = (
    ("segment", str, "a string"),
    ("category", str, "a string"),
    ("char_start", int, "an integer"),
    ("char_end", int, "an integer"),
)
_STEP_FIELDS = frozenset({*_RANGE_FIELDS, *(key for key, _, _ in _OPTIONAL_FIELDS)})


def parse_index(raw: JSON, where: str, num_tokens: int) -> Index:
    """The index in `raw`, read from `where`, of shards that hold `num_tokens` rows."""
    record = Fields.of(raw, where)
    version = parse_version(record)
    notes = Notes()
    samples = tuple(_sample(entry, num_tokens, notes) for entry in record.records("samples"))
    _refuse_duplicate_ids(samples, where)
    uncovered = num_tokens - _covered_rows(samples, where)
    return Index(
        samples=samples,
        format_version=version,
        extra=record.others(_INDEX_FIELDS),
        warnings=notes.sentences(where, uncovered=uncovered, num_tokens=num_tokens),
        overlapping_steps=notes.overlapping,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """The sample whose steps are being read."""

    where: str
    sample_id: str
    offset: int
    num_tokens: int
    notes: Notes = field(repr=False)

    def step(self, number: int) -> str:
        return f"{self.where}.steps[{number}] (sample {show(self.sample_id)})"


def _sample(entry: Fields, num_tokens: int, notes: Notes) -> Sample:
    sample_id = entry.identifier("sample_id")
    offset, length = entry.integer("global_offset"), entry.integer("num_tokens")
    if offset + length > num_tokens:
        raise SampleRangeError(
            f"{entry.where} (sample {show(sample_id)}) has rows [{offset}, {offset + length}), but "
            f"the shards end at {num_tokens}. config.json and index.json may not belong together."
        )
    place = _Place(entry.where, sample_id, offset, length, notes)
    steps = tuple(_step(raw, i, place) for i, raw in enumerate(entry.array("steps")))
    notes.steps(sample_id, steps)
    return Sample(
        sample_id=sample_id,
        problem_id=entry.identifier_or_none("problem_id"),
        global_offset=offset,
        num_tokens=length,
        prompt_tokens=entry.integer_or_none("prompt_tokens", high=length),
        steps=steps,
        extra=entry.others(_SAMPLE_FIELDS),
    )


def _step(raw: JSON, number: int, place: _Place) -> Step:
    if type(raw) is not dict:
        raise FieldTypeError(f"{place.step(number)} is {show(raw)}; expected an object.")
    get = raw.get
    start, end = get("global_start"), get("global_end")
    if type(start) is not int or type(end) is not int:
        raise _fault(raw, number, place)
    # The card names global ranges only; the others are the same ranges told twice.
    first, last = get("token_start", start - place.offset), get("token_end", end - place.offset)
    segment, category = get("segment"), get("category")
    char_start, char_end = get("char_start"), get("char_end")
    if not (
        type(first) is int
        and type(last) is int
        and 0 <= first <= last <= place.num_tokens
        and start == place.offset + first
        and end == place.offset + last
        and (type(segment) is str or segment is None)
        and (type(category) is str or category is None)
        and (type(char_start) is int or char_start is None)
        and (type(char_end) is int or char_end is None)
    ):
        raise _fault(raw, number, place)
    return Step(
        first,
        last,
        start,
        end,
        place.notes.segment(segment) if segment else None,
        place.notes.category(category) if category else None,
        char_start,
        char_end,
        NO_EXTRA
        if raw.keys() <= _STEP_FIELDS
        else {key: value for key, value in raw.items() if key not in _STEP_FIELDS},
    )


def _fault(raw: JSONObject, number: int, place: _Place) -> InputError:
    """Why a step was refused."""
    where = place.step(number)
    for key in ("global_start", "global_end"):
        if key not in raw:
            return MissingFieldError(
                f"{where} has no field {key!r}. Each step needs its row range; write the index "
                "again."
            )
    for key in _RANGE_FIELDS:
        value = raw.get(key, 0)
        if type(value) is not int or not 0 <= value <= MAX_INTEGER:
            return StepRangeError(
                f"{where}: {key} is {show(value)}; expected an integer from 0 to {MAX_INTEGER}."
            )
    for key, kind, name in _OPTIONAL_FIELDS:
        value = raw.get(key)
        if value is not None and type(value) is not kind:
            return FieldTypeError(f"{where}: {key} is {show(value)}; expected {name} or null.")
    ranges = ", ".join(f"{key} {raw[key]}" for key in _RANGE_FIELDS if key in raw)
    return StepRangeError(
        f"{where} has {ranges} in a sample of {place.num_tokens} tokens at global_offset "
        f"{place.offset}. Expected 0 <= token_start <= token_end <= the sample's num_tokens, and "
        "global_* = global_offset + token_*."
    )


def _refuse_duplicate_ids(samples: tuple[Sample, ...], where: str) -> None:
    seen: dict[str, int] = {}
    for number, sample in enumerate(samples):
        if sample.sample_id in seen:
            raise DuplicateSampleError(
                f"{where}: samples[{seen[sample.sample_id]}] and samples[{number}] both have the "
                f"sample_id {show(sample.sample_id)}. Expected each id once; rename or remove one."
            )
        seen[sample.sample_id] = number


def _covered_rows(samples: tuple[Sample, ...], where: str) -> int:
    """How many rows belong to a sample; no row may belong to two."""
    end, before = 0, ""
    for sample in sorted(samples, key=lambda sample: (sample.global_offset, sample.num_tokens)):
        if sample.num_tokens and sample.global_offset < end:
            raise SampleRangeError(
                f"{where}: sample {show(sample.sample_id)} begins at row {sample.global_offset}, "
                f"inside sample {show(before)} which ends at {end}. Expected every row in one "
                "sample at most."
            )
        if sample.num_tokens:
            end, before = sample.global_offset + sample.num_tokens, sample.sample_id
    return sum(sample.num_tokens for sample in samples)
