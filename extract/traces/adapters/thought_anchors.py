r"""Thought Anchors rollouts: sentences ("chunks") of a base solution with function tags.

Source: github interp-reasoning/thought-anchors and its data set uzaymacar/math-rollouts (Bogdan,
Macar, Nanda, Conmy 2025, arXiv:2506.19143). A problem is a directory, usually
`<model>/temperature_<t>_top_p_<p>/<correct|incorrect>_base_solution/problem_<n>/`, with

    base_solution.json    {"prompt", "solution", "full_cot", "answer", "is_correct"}
    chunks_labeled.json   [{"chunk", "chunk_idx", "function_tags": [tag, …], "depends_on", …}, …]
    problem.json          {"problem", "level", "type", "gt_solution", "gt_answer"}  (may be absent)
    chunk_<i>/            rollouts, which are not read

The prompt ends in "<think>\n"; the solution is thought, "</think>", answer. Chunks are its
sentences up to "</think>" in order, stripped; one of under 10 characters is joined to its neighbour
by one blank, whatever white space stood between. A chunk's category is its first tag; its other
fields are kept with the step. (The data set holds these files as rows of `path` and `content`,
which have to be written out as files first.)

Seen: `generate_rollouts.py` and `utils.py` (split_solution_into_chunks), which write these files,
and `misc-scripts/push_hf_dataset.py` in the mirror vibhor-5/thought-anchors; of the repository
interp-reasoning/thought-anchors.com the files
`src/app/data/problem_3448/{problem,chunks_labeled}.json` and
`src/app/data/deepseek-r1/no_base_solution/scenario_0/{base_solution,chunks_labeled}.json` (there a
chunk is missing, and one begins with "</think>").
"""

from __future__ import annotations

import os
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
    require_directory,
)
from extract.traces.errors import LayoutError
from spectra import strict_json
from spectra.errors import FieldTypeError
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON

_LABELS = "chunks_labeled.json"
_ROLLOUTS = re.compile(r"chunk_\d+")
_PROBLEM_FIELDS = ("level", "type", "gt_answer")
_SOLUTION_FIELDS = ("answer", "is_correct")


def records(source: Path) -> Iterator[tuple[str, Build]]:
    """A record for every directory at or under `source` that holds chunks_labeled.json."""
    require_directory(source, f"a directory that holds {_LABELS}, or the parent of such")
    found = False
    for directory, names, files in os.walk(source):
        names[:] = sorted(name for name in names if not _ROLLOUTS.fullmatch(name))
        if _LABELS in files:
            found = True
            yield directory, partial(_trace, Path(directory), source)
    if not found:
        raise LayoutError(
            f"{source} holds no {_LABELS}, at any depth. Expected a directory of problems from "
            "the Thought Anchors rollouts."
        )


def _trace(directory: Path, source: Path, skips: Skips) -> dict[str, JSON]:
    solution = _object(directory / "base_solution.json")
    prompt, response = solution.text("prompt"), solution.text("solution")
    chunks = _chunks(directory / _LABELS)
    fields: dict[str, JSON] = {
        "trace_id": directory.relative_to(source).as_posix() if directory != source else "",
        "problem_id": directory.resolve().name,
        "prompt": prompt,
        "response": response,
        "steps": locate(
            response,
            chunks,
            str(directory),
            skips,
            thinking=prompt.rstrip().endswith("<think>"),
        ),
        "metadata": _metadata(directory, solution),
    }
    fields["trace_id"] = fields["trace_id"] or fields["problem_id"]
    generator = _generator(directory.resolve())
    return fields if generator is None else fields | {"generator": generator}


def _chunks(path: Path) -> list[Chunk]:
    value = strict_json.load(path, max_bytes=MAX_SOURCE_BYTES)
    if not isinstance(value, list):
        raise FieldTypeError(f"{path} is {show(value)}; expected an array of chunks.")
    chunks = []
    for number, item in enumerate(value):
        record = Fields.of(item, f"{path}: [{number}]")
        tags = [tag for tag in record.array("function_tags") if isinstance(tag, str)]
        chunks.append(
            Chunk(
                name=f"chunk {record.fields.get('chunk_idx', number)}",
                text=record.text("chunk"),
                category=tags[0] if tags else None,
                extra=record.others({"chunk"}),
            )
        )
    return chunks


def _metadata(directory: Path, solution: Fields) -> dict[str, JSON]:
    kept = {key: solution.fields[key] for key in _SOLUTION_FIELDS if key in solution.fields}
    path = directory / "problem.json"
    if path.exists():
        problem = _object(path)
        kept |= {key: problem.fields[key] for key in _PROBLEM_FIELDS if key in problem.fields}
    return kept


def _generator(directory: Path) -> str | None:
    """The directory above `temperature_…`, which is named for the model."""
    for parent in directory.parents:
        if parent.name.startswith("temperature_"):
            return parent.parent.name or None
    return None


def _object(path: Path) -> Fields:
    return Fields.of(strict_json.load(path, max_bytes=MAX_SOURCE_BYTES), str(path))
