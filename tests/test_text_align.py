"""Steps as token ranges: the rule followed slowly, the report counted one by one, examples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.text import AlignmentReport, TextTokenizer
from extract.text._align import _blanks, align
from tests.text_cases import (
    REAL,
    TINY,
    annotated,
    holder,
    slow_owners,
    spellable,
    step_of,
    tokenizer,
)

Spans = list[tuple[int, int]]


@pytest.fixture(scope="module", params=[*TINY, *REAL])
def tok(request: pytest.FixtureRequest) -> TextTokenizer:
    return tokenizer(request.param)


def aligned(text: str, tokens: Spans, steps: Spans) -> tuple[Spans, AlignmentReport]:
    token_array, spans = (np.array(x, dtype=np.int64).reshape(-1, 2) for x in (tokens, steps))
    ranges, report = align(text, token_array[:, 0], token_array[:, 1], spans)
    return [(int(start), int(end)) for start, end in ranges], report


def slow_report(text: str, tokens: Spans, steps: Spans) -> AlignmentReport:
    owners = slow_owners(text, tokens, steps)
    empty = [k for k in range(len(steps)) if k not in owners]
    own = {i: step_of(i, steps) for i in range(len(text)) if not text[i].isspace()}
    pairs = [(k, owners[holder(i, tokens)]) for i, k in own.items() if k is not None]
    borders = {border for step in steps for border in step}
    return AlignmentReport(
        response_tokens=len(tokens),
        unassigned_tokens=owners.count(None),
        empty_steps=tuple(empty),
        empty_steps_with_text=tuple(k for k in empty if text[slice(*steps[k])].strip()),
        borders_inside_tokens=sum(any(a < b < c for a, c in tokens) for b in borders),
        step_characters=len(pairs),
        characters_in_other_steps=sum(k != owner and owner is not None for k, owner in pairs),
        characters_in_no_step=sum(owner is None for _, owner in pairs),
    )


def check(text: str, tokens: Spans, steps: Spans) -> None:
    ranges, report = aligned(text, tokens, steps)
    owners = slow_owners(text, tokens, steps)
    for step, (start, end) in enumerate(ranges):
        assert [t for t, owner in enumerate(owners) if owner == step] == list(range(start, end))
    borders = [0, *(border for one in ranges for border in one), len(tokens)]
    assert borders == sorted(borders)  # in order, disjoint, inside the response
    assert report == slow_report(text, tokens, steps)


@given(case=annotated())
def test_align_follows_the_rule(tok: TextTokenizer, case: tuple[str, Spans]) -> None:
    text, steps = case
    if spellable(tok, text) != text:
        text, steps = spellable(tok, text), []
    encoded = tok.encode(text)
    check(text, list(zip(encoded.starts.tolist(), encoded.ends.tolist(), strict=True)), steps)


@st.composite
def covers(draw: st.DrawFn, characters: int) -> Spans:
    """Any cover that tokens can have: overlapping inside characters, empty ranges between."""
    tokens: Spans = []
    place = 0
    while place < characters:
        kind = draw(st.integers(0, 3))
        if kind == 0:
            tokens.append((place, place))
        elif kind == 1 and tokens and tokens[-1][0] < tokens[-1][1]:
            place = tokens[-1][1] - 1  # the same character's next bytes
        if kind != 0:
            end = min(characters, place + draw(st.integers(1, 4)))
            tokens.append((place, end))
            place = end
    return tokens + [(characters, characters)] * draw(st.integers(0, 2))


@given(data=st.data(), case=annotated())
def test_align_follows_the_rule_on_any_cover(data: st.DataObject, case: tuple[str, Spans]) -> None:
    text, steps = case
    check(text, data.draw(covers(len(text))), steps)


@given(case=annotated())
def test_steps_that_part_the_text_part_the_tokens(
    tok: TextTokenizer, case: tuple[str, Spans]
) -> None:
    """With steps from end to end, only blanks before the first solid character are in none."""
    text = "x" + spellable(tok, case[0])
    borders = {border for span in case[1] for border in span if border < len(text)}
    steps = list(pairwise(sorted({0, len(text), *borders})))
    encoded = tok.encode(text)
    tokens = list(zip(encoded.starts.tolist(), encoded.ends.tolist(), strict=True))
    ranges, report = aligned(text, tokens, steps)
    assert report.unassigned_tokens == report.characters_in_no_step == 0
    assert sum(end - start for start, end in ranges) == len(tokens)


def test_every_blank_is_known() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert _blanks(every).tolist() == [char.isspace() for char in every]


EXAMPLES = {
    "token over a border belongs to its first solid character": (
        "Yes.\n\nNo",
        [(0, 3), (3, 6), (6, 8)],
        [(0, 4), (6, 8)],
        [(0, 2), (2, 3)],
    ),
    "blank before a word goes with the word": (
        "A b",
        [(0, 1), (1, 3)],
        [(0, 1), (2, 3)],
        [(0, 1), (1, 2)],
    ),
    "blanks alone go to the step before": (
        "A  b",
        [(0, 1), (1, 2), (2, 3), (3, 4)],
        [(0, 1), (1, 4)],
        [(0, 3), (3, 4)],
    ),
    "blanks after text of no step are in none": (
        "A b  c",
        [(0, 1), (1, 3), (3, 4), (4, 6)],
        [(0, 1), (3, 6)],
        [(0, 1), (3, 4)],
    ),
    "blanks before the first step are in none": (
        "  A",
        [(0, 1), (1, 2), (2, 3)],
        [(0, 3)],
        [(2, 3)],
    ),
    "step whose token began before it is empty": (
        "a.b.c",
        [(0, 3), (3, 5)],
        [(0, 2), (2, 3), (3, 5)],
        [(0, 1), (1, 1), (1, 2)],
    ),
    "hidden end-of-text is in no step": (
        "ab",
        [(0, 2), (2, 2)],
        [(0, 2)],
        [(0, 1)],
    ),
    "hidden token amid a step is in it": (
        "abc",
        [(0, 1), (1, 1), (1, 2), (2, 3)],
        [(0, 2), (2, 3)],
        [(0, 3), (3, 4)],
    ),
    "empty step inside another": (
        "abc",
        [(0, 1), (1, 2), (2, 3)],
        [(0, 2), (1, 1), (2, 3)],
        [(0, 2), (2, 2), (2, 3)],
    ),
    "no tokens": ("", [], [(0, 0)], [(0, 0)]),
    "no steps": ("ab", [(0, 2)], [], []),
}


@pytest.mark.parametrize(("text", "tokens", "steps", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_examples(text: str, tokens: Spans, steps: Spans, expected: Spans) -> None:
    assert aligned(text, tokens, steps)[0] == expected
    check(text, tokens, steps)


def test_report_of_characters_in_foreign_tokens() -> None:
    # Tokens "a.b" and "c d": b is in the token of step 0, d in a token of no step.
    _, report = aligned("a.bc d", [(0, 3), (3, 6)], [(0, 2), (2, 3), (5, 6)])
    assert report == AlignmentReport(
        response_tokens=2,
        unassigned_tokens=1,
        empty_steps=(1, 2),
        empty_steps_with_text=(1, 2),
        borders_inside_tokens=2,
        step_characters=4,
        characters_in_other_steps=1,
        characters_in_no_step=1,
    )
