"""Steering-vector responses: thinking with labels in the text, ["label"] … ["end-section"].

Source: github cvenhoff/steering-thinking-llms (Venhoff, Arcuschin, Torr, Conmy, Nanda 2025,
arXiv:2506.18167). A file `responses_<model>.json` is an array of

    {"original_message": {"role": "user", "content": …},
     "full_response": the whole decoded sequence: the rendered prompt, "<think>", thought,
                      "</think>", answer (either may be missing where generation was cut off),
     "thinking_process": what lies between the tags, stripped,
     "annotated_thinking": the same with labels, written by a language model; "" until it is}

The response is taken from "<think>" on, or where that is missing from where `thinking_process`
begins; the prompt becomes the one message. A section's text is searched for in the response, since
the labelling model may have changed or dropped some of it.

Seen: `utils/utils.py` (the labelling prompt and get_label_positions, whose pattern is the one
here), `train-steering-vectors/generate_responses.py` and `train_vectors.py` in the fork
Leema-Krishna-Murali/steering-thinking-llms, which write these files; records not yet labelled in
`generate-responses/results/vars/eval_responses_deepseek-r1-distill-llama-8b.json` of the fork
thaotnguyen/thinking-llms-interp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from extract.traces.adapters._build import (
    MAX_SOURCE_BYTES,
    Build,
    Chunk,
    Skips,
    locate,
    problem_of,
)
from extract.traces.errors import LayoutError
from spectra import strict_json
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON

_SECTION = re.compile(r'\["(\S+?)"\](.*?)\["end-section"\]', re.DOTALL)
_MARKER = re.compile(r'\["\S+?"\]')
_FILE_NAME = re.compile(r"(?:\w+_)?responses_(.+)")


def records(source: Path) -> Iterator[tuple[str, Build]]:
    """A record for every element of the array in the file `source`."""
    value = strict_json.load(source, max_bytes=MAX_SOURCE_BYTES)
    if not isinstance(value, list):
        raise LayoutError(
            f"{source} is {show(value)}. Expected an array of responses with annotated_thinking."
        )
    for number, item in enumerate(value):
        where = f"{source}: [{number}]"
        yield where, partial(_trace, Fields.of(item, where), source.stem, number)


def _trace(record: Fields, stem: str, number: int, skips: Skips) -> dict[str, JSON]:
    message = Fields.of(record.get("original_message"), f"{record.where}.original_message")
    content = message.text("content")
    annotated = record.get("annotated_thinking")
    if annotated == "":
        raise LayoutError(f"{record.where}: annotated_thinking is empty: it was not labelled")
    response = _response(record, content)
    chunks = list(_sections(record.text("annotated_thinking"), record.where, skips))
    fields: dict[str, JSON] = {
        "trace_id": f"{stem}-{number}",
        "problem_id": problem_of(content),
        "messages": [dict(message.fields)],
        "response": response,
        "steps": locate(response, chunks, record.where, skips, thinking=True),
        "metadata": record.others(
            {"original_message", "full_response", "thinking_process", "annotated_thinking"}
        ),
    }
    model = _FILE_NAME.fullmatch(stem)
    return fields | {"generator": model[1]} if model else fields


def _response(record: Fields, content: str) -> str:
    """What follows the prompt, in which the message's own text may speak of <think> too."""
    full = record.text("full_response")
    after = max(full.find(content), 0) + (len(content) if content in full else 0)
    start = full.find("<think>", after)
    if start < 0:
        thinking = record.text("thinking_process")
        start = full.find(thinking, after)
    if start < 0:
        raise LayoutError(
            f"{record.where}: full_response holds neither <think> nor the thinking_process after "
            "the message, so that prompt and response cannot be told apart"
        )
    return full[start:]


def _sections(annotated: str, where: str, skips: Skips) -> Iterator[Chunk]:
    end = 0
    for number, match in enumerate(_SECTION.finditer(annotated)):
        _report_unclosed(annotated[end : match.start()], where, skips)
        yield Chunk(f"section {number}", match[2], match[1])
        end = match.end()
    _report_unclosed(annotated[end:], where, skips)


def _report_unclosed(between: str, where: str, skips: Skips) -> None:
    for match in _MARKER.finditer(between):
        skips.step(f"{where}: the section {match[0]} has no beginning or no end")
