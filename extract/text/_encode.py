"""A trace as tokens: prompt, then response, and the tokens of each step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from extract.text._align import AlignmentReport, align
from extract.text._chat import drop_doubled_think
from extract.text._tokenizer import EncodedText, TextTokenizer
from extract.traces._trace import Trace
from spectra.json_fields import show


@dataclass(frozen=True, slots=True)
class EncodedTrace:
    """A trace as a model reads it.

    Attributes:
        token_ids: The prompt's tokens, then the response's, [n].
        prompt_tokens: How many of them are the prompt's.
        steps: For each step of the trace its tokens, half-open, counted from the first token of
            the prompt; in order, disjoint; equal ends where a step has no token.
        report: What of the steps' characters the token ranges could not keep.
    """

    token_ids: NDArray[np.int32]
    prompt_tokens: int
    steps: tuple[tuple[int, int], ...]
    report: AlignmentReport


def encode_trace(trace: Trace, tokenizer: TextTokenizer) -> EncodedTrace:
    """The tokens of a trace and of its steps.

    Prompt and response are encoded apart, as they were when the response was generated. Stored
    token ids are used as they are, for either by itself: the prompt's are not compared with its
    text; the response's must spell it, special tokens left out at will. A given `prompt` is used
    to the letter; of one rendered from messages, a final `<think>` that the response begins with
    too is dropped.

    Raises:
        InputError: One of `extract.text.errors`, naming the trace.
    """
    where = f"trace {show(trace.trace_id)}"
    prompt, dropped_think = _prompt_ids(trace, tokenizer, where)
    response = _response(trace, tokenizer, where)
    spans = [(step.char_start, step.char_end) for step in trace.steps]
    ranges, report = align(
        trace.response,
        response.starts,
        response.ends,
        np.array(spans, dtype=np.int64).reshape(-1, 2),
    )
    return EncodedTrace(
        token_ids=np.concatenate([prompt, response.ids]),
        prompt_tokens=len(prompt),
        steps=tuple((start, end) for start, end in (ranges + len(prompt)).tolist()),
        report=replace(report, dropped_think=dropped_think),
    )


def _prompt_ids(
    trace: Trace, tokenizer: TextTokenizer, where: str
) -> tuple[NDArray[np.int32], bool]:
    """The prompt's tokens and whether a doubled `<think>` was dropped."""
    if trace.prompt_token_ids is not None:
        ids = tokenizer.check_ids(trace.prompt_token_ids, where=f"{where}: prompt_token_ids")
        return ids, False
    if trace.prompt is not None:
        return tokenizer.encode(trace.prompt, where=f"{where}: prompt").ids, False
    rendered = tokenizer.render_prompt(trace.messages or (), where=f"{where}: messages")
    prompt = drop_doubled_think(rendered, trace.response)
    return tokenizer.encode(prompt, where=f"{where}: messages").ids, prompt != rendered


def _response(trace: Trace, tokenizer: TextTokenizer, where: str) -> EncodedText:
    if trace.response_token_ids is None:
        return tokenizer.encode(trace.response, where=f"{where}: response")
    return tokenizer.cover(
        trace.response_token_ids, trace.response, where=f"{where}: response_token_ids"
    )
