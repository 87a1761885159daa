"""Small sources in the layouts of the published files, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from extract.traces import Trace
from extract.traces.adapters import Skips, convert


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def converted(source: Path, layout: str) -> list[Trace]:
    return list(convert(source, layout, Skips()))


# ---- thought anchors -----------------------------------------------------------------------------

TA_PROMPT = (
    "Solve this math problem step by step. You MUST put your final answer in \\boxed{}. "
    "Problem: 2 + 2? Solution: \n<think>\n"
)
TA_SOLUTION = (
    "Okay, two and two.\n\nHmm.\n\nI add them: 2 + 2 = 4. Wait.  Yes.\n</think>\n\n"
    "The answer is \\boxed{4}."
)
TA_CHUNKS = [
    {
        "chunk": "Okay, two and two.",
        "chunk_idx": 0,
        "function_tags": ["problem_setup"],
        "depends_on": [],
        "importance": -0.02,
    },
    # Pieces of under ten characters were joined by one blank.
    {"chunk": "Hmm. I add them: 2 + 2 = 4.", "chunk_idx": 1, "function_tags": ["plan", "b"]},
    {"chunk": "Wait. Yes.", "chunk_idx": 2, "function_tags": []},
]


def anchors(directory: Path, chunks: Any = TA_CHUNKS, solution: str = TA_SOLUTION) -> Path:
    base = {"prompt": TA_PROMPT, "solution": solution, "full_cot": TA_PROMPT + solution}
    put(directory / "base_solution.json", base | {"answer": "4", "is_correct": True})
    put(directory / "chunks_labeled.json", chunks)
    put(
        directory / "problem.json",
        {"problem": "2 + 2?", "level": "Level 5", "type": "Algebra", "gt_answer": "4"},
    )
    put(directory / "chunk_0" / "solutions.json", [])
    return directory


# ---- steering-thinking ---------------------------------------------------------------------------

ST_CONTENT = "Explain <think> tags.\nBriefly."
ST_THINKING = "Okay, the user asks. They mark thought.\n\nMaybe more? They mark thought."
ST_FULL = (
    f"<｜User｜>{ST_CONTENT}<｜Assistant｜><think>\n{ST_THINKING}\n</think>\n\nThey mark thought."
)
ST_ANNOTATED = (
    '\n["initializing"]Okay, the user asks.["end-section"] ["deduction"] They mark thought. '
    '["end-section"]\n["uncertainty-estimation"]Maybe more?["end-section"]'
    '["deduction"]They mark thought.["end-section"]\n'
)


def steering(**changes: Any) -> dict[str, Any]:
    record = {
        "original_message": {"role": "user", "content": ST_CONTENT},
        "full_response": ST_FULL,
        "thinking_process": ST_THINKING,
        "annotated_thinking": ST_ANNOTATED,
    }
    return record | changes


# ---- Schoenfeld ----------------------------------------------------------------------------------

SF_RESPONSE = (
    "Okay, so 432 / 24.\n\nLet me divide.  It is 18.\n\n**Final Answer**\n\\boxed{A}\n</think>\n\n"
    "Volume is base times height.\nThus \\(\\boxed{A}\\)."
)


def sentence(text: str, paragraph: str, label: str) -> dict[str, str]:
    return {"text": text, "gt-class-1": paragraph, "gt-class-2": label}


SF_DATA = [
    sentence("Okay, so 432 / 24.", "General", "Read"),
    sentence("Let me divide.", "General", "Plan"),
    sentence("It is 18.", "Verify", "Implement"),
    sentence("**Final Answer**\n\\boxed{A}\n</think>", "General", "Monitor"),
    sentence("Volume is base times height.\nThus \\(\\boxed{A}\\).", "General", "Analyze"),
]


def schoenfeld(root: Path, data: Any = SF_DATA, numbers: tuple[int, ...] = (1,)) -> Path:
    original = {
        "Instruction": "What is the height?\nChoices:\nA) 18",
        "deepseek-reasoner (response)": SF_RESPONSE,
    }
    rows = [{"Question ID": f"q{number}", **original} for number in (*numbers, 99)]
    put(root / "responses_original" / "SAT_deepseekR1_results.json", rows)
    for number in numbers:
        labelled = {"Question ID": f"q{number}", "data": data}
        put(root / "responses_labeled" / f"{number}.json", labelled)
    return root


# ---- ReasoningFlow -------------------------------------------------------------------------------


def flow(path: Path, nodes: list[tuple[str, str]], **changes: Any) -> Path:
    """`nodes` are texts and labels that cover the response."""
    question = "What is 2 + 2?"
    rows = [
        {
            "id": "ctx0",
            "annotation": True,
            "start": 0,
            "end": 14,
            "label": "context",
            "text": question,
            "source": "question",
        }
    ]
    start = 0
    for number, (text, label) in enumerate(nodes):
        row = {"id": f"resp{number}", "annotation": True, "start": start, "text": text}
        start += len(text)
        rows.append({**row, "end": start, "label": label, "source": "response"})
    document = {
        "doc_id": "math_4_Some-Model",
        "raw_text": {"question": question, "response": "".join(text for text, _ in nodes)},
        "metadata": {"domain": "math", "generator": "org/Some-Model"},
        "nodes": rows,
        "edges": [],
    }
    return put(path, document | changes)


NODES = [
    ("Let's see. ", "planning"),
    ("The 😀 sum is\n\n4 = 2 + 2.\n\n", "reasoning"),
    ("So 4.", ""),
]
