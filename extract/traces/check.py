"""What a file of annotated traces holds, and what in it deserves a look before extraction.

Nothing here is an error: gaps, empty steps and steps without a label are legal. They are counted,
each kind with the first place where it occurs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from extract.traces._trace import Trace, TraceStep

if TYPE_CHECKING:
    from extract.text import TextTokenizer

_MARKUP = re.compile(r"</?think>")

FINDINGS = {
    "traces_without_steps": "traces without a step",
    "text_outside_steps": "non-blank characters outside every step, thinking markup aside",
    "empty_steps": "steps that span no character",
    "blank_steps": "steps that span only white space",
    "steps_with_markup": "steps that hold or cross thinking markup",
    "unlabelled_steps": "steps without a category",
    "steps_without_segment": "steps without a segment",
}
"""What is looked for, and what of it is counted."""

TOKEN_FINDINGS = {
    "tokens_outside_steps": "response tokens that belong to no step",
    "steps_without_token": "steps with text that own no token",
    "borders_inside_tokens": "step borders inside a token",
    "characters_in_other_steps": "non-blank characters whose token belongs to another step",
    "characters_in_no_step": "non-blank characters of steps whose token belongs to no step",
}
"""What is looked for with a tokenizer."""


@dataclass(slots=True)
class Count:
    """Steps and characters of one label."""

    steps: int = 0
    characters: int = 0


@dataclass(slots=True)
class Finding:
    """How often something occurs, in how many traces, and where first."""

    count: int = 0
    traces: int = 0
    first: str | None = None

    def add(self, count: int, trace: Trace, place: str = "") -> None:
        """Note `count` occurrences in `trace`, the first of them at `place`."""
        if count:
            self.count += count
            self.traces += 1
            self.first = self.first or trace.trace_id + place


@dataclass(slots=True)
class Check:
    """The account of a file; without a tokenizer it has no tokens and no findings on them."""

    traces: int = 0
    steps: int = 0
    characters: int = 0
    step_characters: int = 0
    tokens: int | None = None
    problems: set[str] = field(default_factory=set)
    traces_without_problem: int = 0
    segments: dict[str | None, Count] = field(default_factory=dict)
    categories: dict[str | None, Count] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)


def check_traces(traces: Iterable[Trace], tokenizer: TextTokenizer | None = None) -> Check:
    """Count what `traces` hold. With a tokenizer, also lay the responses' tokens against the steps.

    Prompts are not looked at. Raises what `extract.text.encode_trace` raises.
    """
    names = [*FINDINGS, *(TOKEN_FINDINGS if tokenizer is not None else ())]
    check = Check(findings={name: Finding() for name in names})
    for trace in traces:
        _count(trace, check)
        _look(trace, check.findings)
        if tokenizer is not None:
            _align(trace, tokenizer, check)
    return check


def _count(trace: Trace, check: Check) -> None:
    check.traces += 1
    check.steps += len(trace.steps)
    check.characters += len(trace.response)
    if trace.problem_id is None:
        check.traces_without_problem += 1
    else:
        check.problems.add(trace.problem_id)
    for step in trace.steps:
        length = step.char_end - step.char_start
        check.step_characters += length
        for label, counts in ((step.segment, check.segments), (step.category, check.categories)):
            count = counts.setdefault(label, Count())
            count.steps += 1
            count.characters += length


def _look(trace: Trace, findings: dict[str, Finding]) -> None:
    markup = [match.span() for match in _MARKUP.finditer(trace.response)]
    findings["traces_without_steps"].add(not trace.steps, trace)
    outside = list(_outside(trace, markup))
    place = f", character {outside[0]}" if outside else ""
    findings["text_outside_steps"].add(len(outside), trace, place)
    numbers: dict[str, list[int]] = {}
    for number, step in enumerate(trace.steps):
        text = trace.response[step.char_start : step.char_end]
        for name in _kinds(step, text, markup):
            numbers.setdefault(name, []).append(number)
    for name, found in numbers.items():
        findings[name].add(len(found), trace, f", step {found[0]}")


def _kinds(step: TraceStep, text: str, markup: Sequence[tuple[int, int]]) -> Iterator[str]:
    """What is to be said of one step."""
    if not text:
        yield "empty_steps"
    elif text.isspace():
        yield "blank_steps"
    if any(start < step.char_end and step.char_start < end for start, end in markup):
        yield "steps_with_markup"
    if step.category is None:
        yield "unlabelled_steps"
    if step.segment is None:
        yield "steps_without_segment"


def _outside(trace: Trace, markup: Sequence[tuple[int, int]]) -> Iterator[int]:
    """The non-blank characters that lie in no step and in no markup, by position."""
    end = 0
    covered = sorted([*markup, *((step.char_start, step.char_end) for step in trace.steps)])
    for start, stop in [*covered, (len(trace.response), len(trace.response))]:
        for position in range(end, start):
            if not trace.response[position].isspace():
                yield position
        end = max(end, stop)


def _align(trace: Trace, tokenizer: TextTokenizer, check: Check) -> None:
    from extract.text import encode_trace

    # The response's alignment does not depend on the prompt, whose template may not be at hand.
    bare = replace(trace, prompt="", messages=None, prompt_token_ids=None)
    report = encode_trace(bare, tokenizer).report
    check.tokens = (check.tokens or 0) + report.response_tokens
    empty = report.empty_steps_with_text
    for name, count, place in (
        ("tokens_outside_steps", report.unassigned_tokens, ""),
        ("steps_without_token", len(empty), f", step {empty[0]}" if empty else ""),
        ("borders_inside_tokens", report.borders_inside_tokens, ""),
        ("characters_in_other_steps", report.characters_in_other_steps, ""),
        ("characters_in_no_step", report.characters_in_no_step, ""),
    ):
        check.findings[name].add(count, trace, place)
