"""Where labelled text lies in a response, and what of it is thinking markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.traces.adapters._spans import Segments, find, pieces


def test_find_goes_forward_over_any_white_space() -> None:
    text = "a b. a\n\n b. A b."
    assert find(text, " a b. ", 0) == (0, 4)
    assert find(text, "a b.", 1) == (5, 11)
    assert find(text, "a b.", 6) is None
    assert find(text, " \n", 0) is None
    assert find("x (a+b)* y", "(a+b)*", 0) == (2, 8)


WORDS = st.lists(st.text("ab.(*", min_size=1, max_size=3), min_size=1, max_size=6)
BLANKS = st.text(" \n\t", min_size=1, max_size=3)


@given(WORDS, WORDS, st.data())
def test_what_was_joined_differently_is_found(
    before: list[str], chunk: list[str], data: st.DataObject
) -> None:
    """Words after the cursor are found as one span that reads the same, word for word."""
    head = " ".join(before) + "\n"
    body = chunk[0] + "".join(data.draw(BLANKS) + word for word in chunk[1:])
    span = find(head + body + " tail", " ".join(chunk), len(head))
    assert span == (len(head), len(head) + len(body))


MARKED = st.lists(st.sampled_from(["a", " ", "\n", "<think>", "</think>", "b."]), max_size=12)


@given(MARKED, st.data())
def test_pieces_leave_out_markup_and_outer_blanks_only(
    parts: list[str], data: st.DataObject
) -> None:
    text = "".join(parts)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    marked = [False] * len(text)
    position = 0
    for part in parts:
        marked[position : position + len(part)] = [part.endswith("think>")] * len(part)
        position += len(part)
    kept = [False] * len(text)
    for first, last in pieces(text, start, end):
        assert text[first:last].strip() == text[first:last] != ""
        kept[first:last] = [True] * (last - first)
    for i, character in enumerate(text):
        if not character.isspace():
            assert kept[i] == (start <= i < end and not marked[i])


@pytest.mark.parametrize(
    ("text", "thinking", "segments"),
    [
        ("ab", False, [None, None]),
        ("ab", True, ["thought", "thought"]),
        ("a</think>b", False, ["thought", "solution"]),
        ("<think>a</think>b", False, ["thought", "solution"]),
        ("a<think>b", False, [None, "thought"]),
        (
            "<think>a</think>b</think>c<think>d",
            True,
            ["thought", "solution", "solution", "thought"],
        ),
    ],
)
def test_segments(text: str, thinking: bool, segments: list[str | None]) -> None:
    found = Segments.of(text, thinking=thinking)
    letters = text.replace("</think>", "·" * 8).replace("<think>", "·" * 7)
    assert [found.at(i) for i, letter in enumerate(letters) if letter != "·"] == segments
