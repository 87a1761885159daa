"""Schoenfeld episodes: sentences of DeepSeek-R1 answers to SAT questions, labelled by people.

Source: github MingLiiii/Schoenfeld_Reasoning (Li et al. 2025, arXiv:2509.14662). The repository's
directory holds

    responses_labeled/<n>.json   {"Question ID": id,
                                  "data": [{"text", "gt-class-1", "gt-class-2"}, …]}
    responses_original/SAT_deepseekR1_results.json
                                 [{"Question ID": id, "Instruction": the question as it was asked,
                                   "deepseek-reasoner (response)": the answer, …}, …]

`gt-class-2` is the sentence's label and becomes the category; `gt-class-1` is its paragraph's
(General, Explore or Verify), kept with the step as `paragraph_category`. One labelled text of each
answer ends in, or is, "</think>". The labelled texts lack the white space between them, so the
original answer is needed: joined up anew it would be other tokens.

Seen: `responses_labeled/1.json` and `17.json`. Of the original answers only the keys above, in
public code that reads them; the file itself was not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from extract.traces.adapters._build import (
    MAX_SOURCE_BYTES,
    Build,
    Chunk,
    Skips,
    locate,
    problem_of,
    require_directory,
    user,
)
from extract.traces.errors import LayoutError
from spectra import strict_json
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON

_LABELS = "responses_labeled"
_ORIGINALS = "responses_original/SAT_deepseekR1_results.json"
_RESPONSE = "deepseek-reasoner (response)"


def records(source: Path) -> Iterator[tuple[str, Build]]:
    """A record for every labelled file, in the order of their numbers."""
    require_directory(source, f"the repository's directory, with {_LABELS}/ and {_ORIGINALS}")
    paths = sorted((source / _LABELS).glob("*.json"), key=_number)
    if not paths:
        raise LayoutError(f"{source} holds no {_LABELS}/<n>.json. Expected the repository itself.")
    originals = _originals(source / _ORIGINALS)
    for path in paths:
        yield str(path), partial(_trace, path, originals)


def _number(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdecimal() else 0, path.name)


def _originals(path: Path) -> Mapping[str, Fields]:
    value = strict_json.load(path, max_bytes=MAX_SOURCE_BYTES)
    if not isinstance(value, list):
        raise LayoutError(f"{path} is {show(value)}. Expected an array of answers.")
    found = [Fields.of(item, f"{path}: [{number}]") for number, item in enumerate(value)]
    return {record.identifier("Question ID"): record for record in found}


def _trace(path: Path, originals: Mapping[str, Fields], skips: Skips) -> dict[str, JSON]:
    record = Fields.of(strict_json.load(path, max_bytes=MAX_SOURCE_BYTES), str(path))
    question_id = record.identifier("Question ID")
    if question_id not in originals:
        raise LayoutError(f"{path}: {_ORIGINALS} holds no answer to question {question_id!a}")
    original = originals[question_id]
    instruction, response = original.text("Instruction"), original.text(_RESPONSE)
    chunks = [
        Chunk(
            name=f"sentence {number}",
            text=sentence.text("text"),
            category=sentence.text("gt-class-2"),
            extra={"paragraph_category": sentence.fields.get("gt-class-1")},
        )
        for number, sentence in enumerate(record.records("data"))
    ]
    return {
        "trace_id": question_id,
        "problem_id": problem_of(instruction),
        "generator": "deepseek-reasoner",
        "messages": user(instruction),
        "response": response,
        "steps": locate(response, chunks, str(path), skips, thinking=False),
    }
