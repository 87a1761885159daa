"""What an adapter cannot convert is an error, or counted: nothing is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from extract.traces import errors, write_traces
from extract.traces.adapters import LAYOUTS, Skips, convert
from spectra.errors import InputError, MissingFileError
from tests.trace_sources import (
    NODES,
    SF_DATA,
    ST_ANNOTATED,
    TA_CHUNKS,
    anchors,
    converted,
    flow,
    put,
    schoenfeld,
    sentence,
    steering,
)

LABELS = ("thought-anchors", "steering-thinking", "schoenfeld", "reasoning-flow")


def lost_chunk(root: Path) -> Path:
    chunks = [*TA_CHUNKS[:1], {"chunk": "Never said.", "function_tags": []}, *TA_CHUNKS[1:]]
    return anchors(root / "problem_1", chunks)


def no_solution(root: Path) -> Path:
    anchors(root / "problem_1")
    (anchors(root / "problem_2") / "base_solution.json").unlink()
    return root


def lost_section(root: Path) -> Path:
    text = '["deduction"]Never said.["end-section"]' + ST_ANNOTATED
    return put(root / "r.json", [steering(annotated_thinking=text)])


def unclosed_section(root: Path) -> Path:
    return put(root / "r.json", [steering(annotated_thinking=ST_ANNOTATED + '["backtracking"]x')])


def not_annotated(root: Path) -> Path:
    return put(root / "r.json", [steering(annotated_thinking=""), steering()])


def no_border(root: Path) -> Path:
    return put(root / "r.json", [steering(full_response="x"), steering()])


def no_original(root: Path) -> Path:
    put(schoenfeld(root) / "responses_labeled" / "5.json", {"Question ID": "q5", "data": SF_DATA})
    return root


def lost_sentence(root: Path) -> Path:
    return schoenfeld(root, [*SF_DATA[:1], sentence("Never said.", "General", "Plan")])


def other_text(root: Path) -> Path:
    path = flow(root / "a.json", NODES)
    document = json.loads(path.read_text())
    document["nodes"][2]["text"] = "Something else."
    return put(path, document)


def beyond_the_end(root: Path) -> Path:
    path = flow(root / "a.json", NODES)
    document = json.loads(path.read_text())
    document["nodes"][-1] |= {"end": 4000}
    return put(path, document)


def overlapping_nodes(root: Path) -> Path:
    path = flow(root / "a.json", NODES)
    document = json.loads(path.read_text())
    document["nodes"].append(dict(document["nodes"][-1], label="fact"))
    put(path, document)
    flow(root / "b.json", NODES)
    return root


def half_a_pair(root: Path) -> Path:
    flow(root / "a.json", [("\ud800 x", "fact")])
    flow(root / "b.json", NODES)
    return root


FAULTS: list[tuple[str, Any, tuple[int, int], str]] = [
    (LABELS[0], lost_chunk, (0, 1), "chunk 1 ('Never said.') is not in the response after charac"),
    (LABELS[0], no_solution, (1, 0), "base_solution.json does not exist"),
    (LABELS[1], lost_section, (0, 1), "[0]: section 0 ('Never said.') is not in the response"),
    (LABELS[1], unclosed_section, (0, 1), 'the section ["backtracking"] has no beginning or no'),
    (LABELS[1], not_annotated, (1, 0), "[0]: annotated_thinking is empty: it was not labelled"),
    (LABELS[1], no_border, (1, 0), "prompt and response cannot be told apart"),
    (LABELS[2], no_original, (1, 0), "holds no answer to question 'q5'"),
    (LABELS[2], lost_sentence, (0, 1), "sentence 1 ('Never said.') is not in the response"),
    (LABELS[3], other_text, (0, 1), "but the node's text is 'Something else.'"),
    (LABELS[3], beyond_the_end, (0, 1), "4000) of the response read 'So 4.'"),
    (LABELS[3], overlapping_nodes, (1, 0), "Expected every character in one step at most"),
    (LABELS[3], half_a_pair, (1, 0), "response has half of a surrogate pair"),
]


@pytest.mark.parametrize(("layout", "make", "lost", "text"), FAULTS)
def test_what_is_lost_is_an_error_or_counted(
    tmp_path: Path, layout: str, make: Any, lost: tuple[int, int], text: str
) -> None:
    source = make(tmp_path / "source")
    out = tmp_path / "out.jsonl"
    with pytest.raises(errors.ConversionError) as caught:
        write_traces(out, convert(source, layout, Skips()))
    count = f"{lost[0]} records and {lost[1]} steps could not be converted: "
    assert str(caught.value).startswith(f"{source}: {count}")
    assert text in str(caught.value)
    assert str(caught.value).endswith("convert the rest with --lenient.")
    assert not out.exists()
    skips = Skips()
    assert write_traces(out, convert(source, layout, skips, lenient=True)) == 1
    assert (skips.records, skips.steps) == lost
    assert skips.sentence().startswith(count)


def test_only_the_first_losses_are_told(tmp_path: Path) -> None:
    chunks = [{"chunk": f"Never {i}.", "function_tags": []} for i in range(9)]
    skips = Skips()
    list(convert(anchors(tmp_path / "p", chunks), LABELS[0], skips, lenient=True))
    assert skips.sentence().endswith("; and 4 more.")
    assert "Never 4." in skips.sentence()
    assert "Never 5." not in skips.sentence()


def test_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownLayoutError, match="layout 'x' is not known"):
        converted(tmp_path, "x")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sources_of_another_layout(tmp_path: Path, layout: str) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        converted(tmp_path / "absent", layout)
    (tmp_path / "empty").mkdir()
    if layout != "steering-thinking":
        with pytest.raises(errors.LayoutError, match="Expected"):
            converted(tmp_path / "empty", layout)
    with pytest.raises(InputError):
        converted(put(tmp_path / "other.json", {"a": 1}), layout)
