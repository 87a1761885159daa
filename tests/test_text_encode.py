"""Whole traces: prompt and response apart, stored ids, messages, errors that name the trace."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given

from extract.text import TextTokenizer, encode_trace
from extract.text.errors import MissingChatTemplateError, TokenIdError, TokenTextMismatchError
from extract.traces import Trace, TraceStep, read_traces
from tests.chat_templates import QUESTION, THINKING
from tests.shared_data import shared
from tests.text_cases import REAL, TEXTS, annotated, tiny, tokenizer, train_tiny

TEMPLATED = TextTokenizer(train_tiny(nfc=False), chat_template=THINKING)
RENDERED = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n<think>\n"


def steps(*spans: tuple[int, int]) -> tuple[TraceStep, ...]:
    return tuple(TraceStep(start, end, None, None) for start, end in spans)


TRACE = Trace(
    trace_id="t-1", prompt="Add.\n", response="Wait, so.\n\nDone.", steps=steps((0, 9), (11, 16))
)


def ids(text: str, tok: TextTokenizer = TEMPLATED) -> list[int]:
    found: list[int] = tok.encode(text).ids.tolist()
    return found


@given(prompt=TEXTS, case=annotated())
def test_prompt_then_response(prompt: str, case: tuple[str, list[tuple[int, int]]]) -> None:
    tok = tiny(nfc=True)
    trace = replace(TRACE, prompt=prompt, response=case[0], steps=steps(*case[1]))
    encoded = encode_trace(trace, tok)
    assert encoded.token_ids.tolist() == ids(prompt, tok) + ids(case[0], tok)
    assert encoded.token_ids.dtype == np.int32
    assert encoded.prompt_tokens == len(ids(prompt, tok))
    alone = encode_trace(replace(trace, prompt=""), tok)
    assert alone.report == encoded.report
    shift = encoded.prompt_tokens
    assert encoded.steps == tuple((start + shift, end + shift) for start, end in alone.steps)


def test_steps_count_from_the_prompts_first_token() -> None:
    encoded = encode_trace(TRACE, TEMPLATED)
    (a, b), (c, d) = encoded.steps
    assert encoded.prompt_tokens == a
    assert (b, d) == (c, len(encoded.token_ids))
    assert TEMPLATED.decode_bytes(encoded.token_ids[a:b].tolist()) == b"Wait, so.\n\n"
    assert TEMPLATED.decode_bytes(encoded.token_ids[c:d].tolist()) == b"Done."


def test_messages_are_rendered_with_the_generation_prompt() -> None:
    encoded = encode_trace(replace(TRACE, prompt=None, messages=QUESTION), TEMPLATED)
    assert encoded.token_ids[: encoded.prompt_tokens].tolist() == ids(RENDERED)
    assert not encoded.report.dropped_think


def test_doubled_think_is_dropped_from_a_rendered_prompt_only() -> None:
    thinking = replace(TRACE, response="<think>\nSo.", steps=steps((0, 11)))
    encoded = encode_trace(replace(thinking, prompt=None, messages=QUESTION), TEMPLATED)
    assert encoded.token_ids[: encoded.prompt_tokens].tolist() == ids(
        RENDERED.removesuffix("<think>\n")
    )
    assert encoded.token_ids[encoded.prompt_tokens :].tolist() == ids("<think>\nSo.")
    assert encoded.report.dropped_think
    given_prompt = encode_trace(replace(thinking, prompt=RENDERED), TEMPLATED)
    assert given_prompt.token_ids[: given_prompt.prompt_tokens].tolist() == ids(RENDERED)
    assert not given_prompt.report.dropped_think


def test_stored_ids_win_each_by_itself() -> None:
    letters = tuple(i for char in TRACE.response for i in ids(char))
    end = TEMPLATED._tokenizer.token_to_id("<|end|>") or 0
    encoded = encode_trace(replace(TRACE, response_token_ids=(*letters, end)), TEMPLATED)
    assert encoded.token_ids.tolist() == [*ids("Add.\n"), *letters, end]
    start = encoded.prompt_tokens
    assert encoded.steps == ((start, start + 11), (start + 11, start + 16))
    assert encoded.report.unassigned_tokens == 1

    encoded = encode_trace(replace(TRACE, prompt_token_ids=(end, end)), TEMPLATED)
    assert encoded.token_ids.tolist() == [end, end, *ids(TRACE.response)]
    assert encoded.prompt_tokens == 2


def test_stored_prompt_ids_need_no_template() -> None:
    trace = replace(TRACE, prompt=None, messages=QUESTION, prompt_token_ids=(1,))
    assert encode_trace(trace, tiny(nfc=False)).prompt_tokens == 1
    with pytest.raises(MissingChatTemplateError, match=r"^trace 't-1': messages: "):
        encode_trace(replace(trace, prompt_token_ids=None), tiny(nfc=False))


def test_errors_name_the_trace_and_the_field() -> None:
    with pytest.raises(TokenIdError, match=r"^trace 't-1': prompt_token_ids: the id 9999 "):
        encode_trace(replace(TRACE, prompt_token_ids=(9999,)), TEMPLATED)
    with pytest.raises(TokenIdError, match=r"^trace 't-1': response_token_ids: the id 9999 "):
        encode_trace(replace(TRACE, response_token_ids=(9999,)), TEMPLATED)
    with pytest.raises(
        TokenTextMismatchError,
        match=r"^trace 't-1': response_token_ids do not spell the text: from character 6 ",
    ):
        encode_trace(replace(TRACE, response_token_ids=tuple(ids("Wait, no"))), TEMPLATED)


@pytest.mark.parametrize("name", REAL)
def test_real_traces(name: str) -> None:
    """On 100 of 753 traces every step has tokens, and they hold every character of it."""
    tok = tokenizer(name)
    for trace in islice(read_traces(shared("traces/thought_anchors_753.jsonl.xz")), 0, 700, 7):
        encoded = encode_trace(trace, tok)
        report = encoded.report
        assert not report.empty_steps
        assert report.characters_in_other_steps == report.characters_in_no_step == 0
        texts = [trace.response[step.char_start : step.char_end] for step in trace.steps]
        for text, (start, end) in zip(texts, encoded.steps, strict=True):
            data = tok.decode_bytes(encoded.token_ids[start:end].tolist()).decode()
            assert text.strip() in data
