"""ReasoningFlow graphs: the nodes of a reasoning trace, with offsets and labels.

Source: github jinulee-v/reasoningflow. A file `data/<set>/<doc>.json` is

    {"doc_id", "raw_text": {"question": text, "response": text}, "metadata": {…},
     "nodes": [{"id", "annotation", "start", "end", "label", "text", "source"}, …], "edges": […]}

`source` is "question" or "response"; `start` and `end` are characters of that text, half-open, and
`text` repeats them. Nodes of the response cover it without gaps, white space at their ends
included; a step is a node without that. The label "" means that none was given. For models that
think in markup, the repository's labeller keeps only what is between the tags, so there is no
markup and every step's segment is null.

Seen: `data/v0_human_jinu_lee/math_4_QwQ-32B-Preview.json`; `annotation_tool/app.py` (which asserts
what is said here of spans), `annotation_tool/results_stats_and_plots.py` and
`parser/llm_labeler.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from extract.traces.adapters._build import (
    MAX_SOURCE_BYTES,
    Build,
    Chunk,
    Skips,
    labelled,
    problem_of,
    user,
)
from extract.traces.adapters._spans import Segments
from extract.traces.errors import LayoutError
from spectra import strict_json
from spectra.json_fields import Fields, show
from spectra.strict_json import JSON


def records(source: Path) -> Iterator[tuple[str, Build]]:
    """A record for the file `source`, or for every .json file in that directory."""
    paths = sorted(source.glob("*.json")) if source.is_dir() else [source]
    if not paths:
        raise LayoutError(f"{source} holds no .json file. Expected annotated graphs.")
    for path in paths:
        yield str(path), partial(_trace, path)


def _trace(path: Path, skips: Skips) -> dict[str, JSON]:
    record = Fields.of(strict_json.load(path, max_bytes=MAX_SOURCE_BYTES), str(path))
    texts = Fields.of(record.get("raw_text"), f"{path}: raw_text")
    question, response = texts.text("question"), texts.text("response")
    metadata = Fields.of(record.fields.get("metadata", {}), f"{path}: metadata")
    generator = metadata.fields.get("generator", metadata.fields.get("model_id"))
    segments = Segments.of(response, thinking=False)
    steps: list[JSON] = []
    for node in record.records("nodes"):
        if node.text("source") == "response" and _agrees(node, response, skips):
            label = node.get("label")
            chunk = Chunk(node.identifier("id"), "", label if isinstance(label, str) else None)
            span = node.integer("start"), node.integer("end")
            steps += labelled(response, span, chunk, segments)
    fields: dict[str, JSON] = {
        "trace_id": path.stem,
        "problem_id": problem_of(question),
        "messages": user(question),
        "response": response,
        "steps": steps,
        "metadata": {"doc_id": record.fields.get("doc_id"), **metadata.fields},
    }
    return fields | {"generator": generator} if isinstance(generator, str) else fields


def _agrees(node: Fields, response: str, skips: Skips) -> bool:
    start, end = node.integer("start"), node.integer("end")
    text = response[start:end]
    if start <= end <= len(response) and text == node.fields.get("text", text):
        return True
    skips.step(
        f"{node.where}: characters [{start}, {end}) of the response read {show(text)}, but the "
        f"node's text is {show(node.fields.get('text'))}"
    )
    return False
