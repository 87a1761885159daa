"""The account of a file of traces: what is counted, and what deserves a look."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from extract.text import TextTokenizer, encode_trace
from extract.traces import Trace, TraceStep, read_traces
from extract.traces.check import FINDINGS, TOKEN_FINDINGS, Check, Count, check_traces
from tests.text_cases import train_tiny
from tests.trace_lines import line, step, write_lines

RESPONSE = "<think>\nOne. Two.\n</think>\n\nThree."


def trace(trace_id: str, *spans: tuple[int, int], **changes: Any) -> Trace:
    steps = tuple(TraceStep(start, end, "thought", "Deduction") for start, end in spans)
    given: dict[str, Any] = {"trace_id": trace_id, "response": RESPONSE, "steps": steps}
    return Trace(**(given | {"prompt": "Count."} | changes))


def odd(check: Check) -> dict[str, tuple[int, int, str | None]]:
    return {
        name: (finding.count, finding.traces, finding.first)
        for name, finding in check.findings.items()
        if finding.count
    }


WHOLE = ((8, 12), (13, 17), (28, 34))


def test_counts(tmp_path: Path) -> None:
    other = line(trace_id="b", problem_id=..., steps=[step(8, 20), step(22, 35, "solution")])
    check = check_traces(read_traces(write_lines(tmp_path / "t", line(), other)))
    assert (check.traces, check.problems, check.traces_without_problem) == (2, {"p"}, 1)
    assert (check.steps, check.characters, check.step_characters) == (5, 102, 55)
    assert check.segments == {"thought": Count(3, 37), "solution": Count(2, 18)}
    assert check.categories == {"Deduction": Count(4, 50), "Final Answer": Count(1, 5)}
    assert check.tokens is None
    assert set(check.findings) == set(FINDINGS)


def test_nothing_to_say_of_a_trace_that_is_covered() -> None:
    assert odd(check_traces([trace("a", *WHOLE)])) == {}


def test_traces_without_steps_and_text_outside_steps() -> None:
    check = check_traces([trace("a", *WHOLE), trace("b"), trace("c", *WHOLE[::2])])
    assert odd(check) == {
        "traces_without_steps": (1, 1, "b"),
        "text_outside_steps": (14 + 4, 2, "b, character 8"),
    }


def test_each_kind_of_odd_step() -> None:
    steps = (
        TraceStep(4, 12, "thought", "Deduction"),
        TraceStep(12, 13, "thought", None),
        TraceStep(13, 13, None, "Deduction"),
        TraceStep(13, 30, "thought", None),
        TraceStep(30, 34, "solution", "Final Answer"),
    )
    check = check_traces([trace("a", *WHOLE), trace("b", steps=steps)])
    assert odd(check) == {
        "empty_steps": (1, 1, "b, step 2"),
        "blank_steps": (1, 1, "b, step 1"),
        "steps_with_markup": (2, 1, "b, step 0"),
        "unlabelled_steps": (2, 1, "b, step 1"),
        "steps_without_segment": (1, 1, "b, step 2"),
    }


def test_markup_at_the_border_of_a_step_is_not_in_it() -> None:
    check = check_traces([trace("a", (7, 18), (26, 34))])
    assert odd(check) == {}


def test_tokens_are_laid_against_steps() -> None:
    tokenizer = TextTokenizer(train_tiny(nfc=False))
    letters = [(i, i + 1) for i in range(20)]
    found = [
        trace("a", *WHOLE),
        # No template is needed: prompts are not looked at.
        trace("b", *letters, response="Wait, let me check this step.", messages=(), prompt=None),
    ]
    check = check_traces(found, tokenizer)
    assert set(check.findings) == {*FINDINGS, *TOKEN_FINDINGS}
    reports = [
        encode_trace(replace(one, prompt="Count.", messages=None), tokenizer).report
        for one in found
    ]
    assert check.tokens == sum(report.response_tokens for report in reports) > 10
    expected = {
        "tokens_outside_steps": sum(r.unassigned_tokens for r in reports),
        "steps_without_token": sum(len(r.empty_steps_with_text) for r in reports),
        "borders_inside_tokens": sum(r.borders_inside_tokens for r in reports),
        "characters_in_other_steps": sum(r.characters_in_other_steps for r in reports),
        "characters_in_no_step": sum(r.characters_in_no_step for r in reports),
    }
    assert {name: check.findings[name].count for name in TOKEN_FINDINGS} == expected
    for name in ("tokens_outside_steps", "steps_without_token", "borders_inside_tokens"):
        assert expected[name] > 0


def test_findings_are_all_described() -> None:
    described = FINDINGS | TOKEN_FINDINGS
    assert len(described) == len(FINDINGS) + len(TOKEN_FINDINGS)
    assert json.dumps(described)
