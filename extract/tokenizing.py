"""Traces as the samples of a plan: token ids, steps as token ranges, how well they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice

from extract.config import ExtractConfig
from extract.decoder.spec import DecoderSpec
from extract.store import TokenizedSample
from extract.text import AlignmentReport, EncodedTrace, TextTokenizer, encode_trace
from extract.traces import Trace, read_traces
from extract.weights import Checkpoint
from spectra.artifacts import Step
from spectra.errors import FieldValueError
from spectra.notes import Notes
from spectra.strict_json import JSON

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and its whole (0: not known)."""


def tokenized(
    config: ExtractConfig,
    checkpoint: Checkpoint,
    spec: DecoderSpec,
    notes: Notes,
    reports: dict[str, AlignmentReport],
    progress: Progress,
) -> Iterator[TokenizedSample]:
    """The traces as samples, one by one; fills `notes` and `reports` on the way."""
    tokenizer = checkpoint.tokenizer()
    for done, trace in enumerate(islice(read_traces(config.traces, notes), config.limit)):
        progress("tokenising", done, config.limit or 0)
        encoded = _encode(trace, tokenizer, spec)
        reports[trace.trace_id] = encoded.report
        yield TokenizedSample(
            sample_id=trace.trace_id,
            problem_id=trace.problem_id,
            token_ids=encoded.token_ids,
            prompt_tokens=encoded.prompt_tokens,
            steps=tuple(_steps(trace, encoded)),
            extra={"alignment": _alignment(encoded.report)},
        )


def _encode(trace: Trace, tokenizer: TextTokenizer, spec: DecoderSpec) -> EncodedTrace:
    encoded = encode_trace(trace, tokenizer)
    largest = int(encoded.token_ids.max(initial=-1))
    if largest >= spec.vocab_size:
        raise FieldValueError(
            f"trace {trace.trace_id!a} has the token id {largest}, and the model embeds ids below "
            f"{spec.vocab_size} (vocab_size). Tokenizer and weights are of different models; fetch "
            "both again, or correct the stored token ids."
        )
    return encoded


def _steps(trace: Trace, encoded: EncodedTrace) -> Iterator[Step]:
    for step, (start, end) in zip(trace.steps, encoded.steps, strict=True):
        yield Step(
            token_start=start,
            token_end=end,
            global_start=start,
            global_end=end,
            segment=step.segment,
            category=step.category,
            char_start=step.char_start,
            char_end=step.char_end,
            extra=step.extra,
        )


def _alignment(report: AlignmentReport) -> dict[str, JSON]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(report).items()
    }


def alignment_warnings(reports: dict[str, AlignmentReport]) -> Iterator[str]:
    """A sentence for each kind of loss; borders inside tokens are usual and are none."""
    kinds = (
        ("steps with text but without a token", lambda r: len(r.empty_steps_with_text)),
        ("characters of steps in tokens of other steps", lambda r: r.characters_in_other_steps),
        ("characters of steps in tokens of no step", lambda r: r.characters_in_no_step),
    )
    for what, count in kinds:
        found = {name: count(report) for name, report in reports.items() if count(report)}
        if found:
            yield f"{what}: {sum(found.values()):,}, the first in trace {next(iter(found))!a}."
