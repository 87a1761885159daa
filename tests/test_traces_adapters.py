"""Public layouts to traces: each step where its text is, with its label and segment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from extract.traces import Trace, read_traces, write_traces
from extract.traces.adapters import LAYOUTS, Skips, convert
from extract.traces.check import check_traces
from spectra.errors import MissingFileError
from tests.trace_sources import (
    NODES,
    SF_RESPONSE,
    ST_CONTENT,
    ST_FULL,
    TA_PROMPT,
    TA_SOLUTION,
    anchors,
    converted,
    flow,
    put,
    schoenfeld,
    steering,
)


def told(trace: Trace) -> list[tuple[str, str | None, str | None]]:
    return [
        (trace.response[step.char_start : step.char_end], step.segment, step.category)
        for step in trace.steps
    ]


# ---- thought anchors -----------------------------------------------------------------------------


def test_thought_anchors(tmp_path: Path) -> None:
    root = tmp_path / "some-model" / "temperature_0.6_top_p_0.95"
    anchors(root / "correct_base_solution" / "problem_330")
    anchors(root / "incorrect_base_solution" / "problem_330")
    # Rollouts are not searched.
    put(root / "correct_base_solution/problem_330/chunk_0/chunks_labeled.json", 5)
    first, second = converted(root, "thought-anchors")
    assert (first.trace_id, second.trace_id) == (
        "correct_base_solution/problem_330",
        "incorrect_base_solution/problem_330",
    )
    assert first.problem_id == second.problem_id == "problem_330"
    assert first.generator == "some-model"
    assert (first.prompt, first.response) == (TA_PROMPT, TA_SOLUTION)
    assert told(first) == [
        ("Okay, two and two.", "thought", "problem_setup"),
        ("Hmm.\n\nI add them: 2 + 2 = 4.", "thought", "plan"),
        ("Wait.  Yes.", "thought", None),
    ]
    assert first.steps[0].extra["importance"] == -0.02
    assert first.steps[1].extra["function_tags"] == ["plan", "b"]
    assert first.metadata == {
        "answer": "4",
        "is_correct": True,
        "level": "Level 5",
        "type": "Algebra",
        "gt_answer": "4",
    }


def test_thought_anchors_of_one_problem(tmp_path: Path) -> None:
    (trace,) = converted(anchors(tmp_path / "problem_7"), "thought-anchors")
    assert (trace.trace_id, trace.problem_id, trace.generator) == ("problem_7", "problem_7", None)


def test_a_chunk_across_the_markup_becomes_what_is_around_it(tmp_path: Path) -> None:
    chunks = [
        {"chunk": "Wait. Yes.\n</think>\n\nThe answer is", "function_tags": ["x"]},
        {"chunk": "\\boxed{4}.", "function_tags": ["y"]},
    ]
    (trace,) = converted(anchors(tmp_path / "problem_7", chunks), "thought-anchors")
    assert told(trace) == [
        ("Wait.  Yes.", "thought", "x"),
        ("The answer is", "solution", "x"),
        ("\\boxed{4}.", "solution", "y"),
    ]


# ---- steering-thinking ---------------------------------------------------------------------------


def test_steering_thinking(tmp_path: Path) -> None:
    other = {"role": "user", "content": "2 + 2?"}
    records = [
        steering(),
        steering(dataset_name="d"),
        steering(original_message=other, full_response=ST_FULL.replace(ST_CONTENT, "2 + 2?")),
    ]
    source = put(tmp_path / "responses_some-model-8b.json", records)
    first, second, third = converted(source, "steering-thinking")
    assert first.trace_id == "responses_some-model-8b-0"
    assert first.generator == "some-model-8b"
    assert first.problem_id == second.problem_id != third.problem_id
    assert list(first.messages or ()) == [{"role": "user", "content": ST_CONTENT}]
    assert first.response == ST_FULL[ST_FULL.index("<think>\nOkay") :]
    assert told(first) == [
        ("Okay, the user asks.", "thought", "initializing"),
        ("They mark thought.", "thought", "deduction"),
        ("Maybe more?", "thought", "uncertainty-estimation"),
        ("They mark thought.", "thought", "deduction"),
    ]
    assert second.metadata == {"dataset_name": "d"}


def test_steering_thinking_cut_off_or_without_a_tag(tmp_path: Path) -> None:
    cut = ST_FULL[: ST_FULL.index("</think>")]
    untagged = ST_FULL.replace("<｜Assistant｜><think>\n", "<｜Assistant｜>")
    source = put(
        tmp_path / "r.json", [steering(full_response=cut), steering(full_response=untagged)]
    )
    for trace in converted(source, "steering-thinking"):
        assert {step.segment for step in trace.steps} == {"thought"}
        assert len(trace.steps) == 4
        assert trace.generator is None


# ---- Schoenfeld ----------------------------------------------------------------------------------


def test_schoenfeld(tmp_path: Path) -> None:
    found = converted(schoenfeld(tmp_path, numbers=(10, 2)), "schoenfeld")
    assert [trace.trace_id for trace in found] == ["q2", "q10"]
    trace = found[0]
    assert trace.response == SF_RESPONSE
    assert (trace.messages or ())[0]["content"] == "What is the height?\nChoices:\nA) 18"
    assert told(trace) == [
        ("Okay, so 432 / 24.", "thought", "Read"),
        ("Let me divide.", "thought", "Plan"),
        ("It is 18.", "thought", "Implement"),
        ("**Final Answer**\n\\boxed{A}", "thought", "Monitor"),
        ("Volume is base times height.\nThus \\(\\boxed{A}\\).", "solution", "Analyze"),
    ]
    assert [step.extra["paragraph_category"] for step in trace.steps][:3] == [
        "General",
        "General",
        "Verify",
    ]


def test_schoenfeld_needs_the_original_answers(tmp_path: Path) -> None:
    schoenfeld(tmp_path)
    (tmp_path / "responses_original" / "SAT_deepseekR1_results.json").unlink()
    with pytest.raises(MissingFileError, match="SAT_deepseekR1_results"):
        converted(tmp_path, "schoenfeld")


# ---- ReasoningFlow -------------------------------------------------------------------------------


def test_reasoning_flow(tmp_path: Path) -> None:
    flow(tmp_path / "math_4_Some-Model.json", NODES)
    flow(tmp_path / "math_5_Some-Model.json", NODES[:1])
    first, second = converted(tmp_path, "reasoning-flow")
    assert (first.trace_id, first.generator) == ("math_4_Some-Model", "org/Some-Model")
    assert first.problem_id == second.problem_id
    assert list(first.messages or ()) == [{"role": "user", "content": "What is 2 + 2?"}]
    assert told(first) == [
        ("Let's see.", None, "planning"),
        ("The 😀 sum is\n\n4 = 2 + 2.", None, "reasoning"),
        ("So 4.", None, None),
    ]
    assert first.metadata["domain"] == "math"
    assert converted(tmp_path / "math_5_Some-Model.json", "reasoning-flow") == [second]


# ---- the round trip ------------------------------------------------------------------------------


def sources(root: Path) -> Iterator[tuple[str, Path]]:
    yield "thought-anchors", anchors(root / "problem_1")
    yield "steering-thinking", put(root / "responses_m.json", [steering(), steering()])
    yield "schoenfeld", schoenfeld(root / "schoenfeld")
    yield "reasoning-flow", flow(root / "flow" / "a.json", NODES)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_converted_traces_read_back_and_check(tmp_path: Path, layout: str) -> None:
    source = dict(sources(tmp_path))[layout]
    out = tmp_path / "out.jsonl.xz"
    write_traces(out, convert(source, layout, Skips()))
    found = list(read_traces(out))
    assert found == converted(source, layout)
    check = check_traces(found)
    odd = {name for name, finding in check.findings.items() if finding.count}
    assert odd <= {"text_outside_steps", "unlabelled_steps", "steps_without_segment"}
    assert check.steps > 2
