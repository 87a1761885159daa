"""`spectra traces`: what is printed, exit codes."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extract.traces import read_traces
from extract.traces.adapters import LAYOUTS
from spectra.cli import _traces, app
from tests.cli_runs import call, files_under, plain
from tests.text_cases import train_tiny
from tests.trace_lines import line, step, write_lines
from tests.trace_sources import TA_CHUNKS, anchors


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- help ---------------------------------------------------------------------------------------


def test_help_lists_commands() -> None:
    assert "traces" in plain(call("--help").stdout)
    result = call("traces", "--help")
    assert result.exit_code == 0
    for text in ("check", "convert", "sample"):
        assert text in plain(result.stdout)


def test_help_names_every_layout() -> None:
    assert tuple(LAYOUTS) == _traces.LAYOUTS
    text = plain(call("traces", "convert", "--help").stdout)
    for layout in LAYOUTS:
        assert layout in text


def test_help_needs_no_heavy_package() -> None:
    heavy = "{'jax', 'numpy', 'scipy', 'tokenizers', 'zstandard', 'flax'}"
    code = f"import sys, spectra.cli._traces; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


# ---- check --------------------------------------------------------------------------------------


def test_check() -> None:
    odd = line(trace_id="b", steps=[step(0, 10), step(22, 35, "other"), step(40, 40)])
    result = call("traces", "check", write_lines(Path("t.jsonl"), line(), odd))
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: t.jsonl: 1 steps have a segment other than thought or solution and count in no "
        "segment: 'other' (1).\n"
    )
    lines = [text.split() for text in result.stdout.splitlines()]
    assert lines[0] == ["t.jsonl:", "2", "traces", "of", "1", "problems"]
    assert lines[1] == ["6", "steps", "with", "53", "of", "102", "response", "characters"]
    for row in ("thought 4 35", "solution 1 5", "(none) 1 13", "Deduction 5 48"):
        assert row.split() in lines
    for text in (
        "steps that span no character 1 1 b, step 2",
        "steps that hold or cross thinking markup",
        "non-blank characters outside every step, thinking markup aside     13",
    ):
        assert " ".join(text.split()) in " ".join(result.stdout.split())


def test_check_of_a_sound_file() -> None:
    result = call("traces", "check", write_lines(Path("t.jsonl"), line()))
    assert result.stdout.endswith("Nothing that deserves a look.\n")


def test_check_json() -> None:
    path = write_lines(Path("t.jsonl"), line(problem_id=...))
    result = call("traces", "check", path, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["findings"].pop("empty_steps") == {"count": 0, "traces": 0, "first": None}
    del document["findings"]
    assert document == {
        "file": "t.jsonl",
        "traces": 1,
        "problems": 0,
        "traces_without_problem": 1,
        "steps": 3,
        "characters": 51,
        "step_characters": 30,
        "tokens": None,
        "segments": [
            {"label": "thought", "steps": 2, "characters": 25},
            {"label": "solution", "steps": 1, "characters": 5},
        ],
        "categories": [
            {"label": "Deduction", "steps": 2, "characters": 25},
            {"label": "Final Answer", "steps": 1, "characters": 5},
        ],
        "warnings": [],
    }


@pytest.mark.parametrize("given", ["model", "model/tokenizer.json"])
def test_check_with_a_tokenizer(given: str) -> None:
    Path("model").mkdir()
    train_tiny(nfc=False).save("model/tokenizer.json")
    path = write_lines(Path("t.jsonl"), line())
    document = json.loads(call("traces", "check", path, "--json", "--tokenizer", given).stdout)
    assert document["tokens"] > 20
    assert document["findings"]["tokens_outside_steps"]["count"] > 0
    shown = call("traces", "check", path, "--tokenizer", given)
    assert f"response characters, {document['tokens']} tokens" in shown.stdout
    assert "response tokens that belong to no step" in shown.stdout


def test_check_reads_standard_input() -> None:
    result = CliRunner().invoke(app, ["traces", "check", "-"], input=json.dumps(line()))
    assert result.exit_code == 0
    assert result.stdout.startswith("-: 1 traces of 1 problems\n")


def test_labels_cannot_steer_the_terminal() -> None:
    evil = "\x1b[31mred[/]\u202e"
    odd = line(trace_id=evil, steps=[step(0, 0, category=evil)])
    result = call("traces", "check", write_lines(Path("t.jsonl"), odd))
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    assert "\\x1b[31mred[/]\\u202e" in result.stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "t.jsonl does not exist"),
        (lambda path: path.mkdir(), "t.jsonl is a directory"),
        (lambda path: path.write_text(""), "t.jsonl holds no trace"),
        (lambda path: path.write_text("{}\n"), "t.jsonl, line 1 has no field 'trace_id'"),
        (lambda path: write_lines(path, line(), line()), "line 2 has the trace_id 'a', as line 1"),
        (lambda path: path.write_bytes(lzma.compress(b"x" * 99)[:50]), "cut short or damaged"),
    ],
)
def test_malformed_files(make: Callable[[Path], object], message: str) -> None:
    make(Path("t.jsonl"))
    result = call("traces", "check", "t.jsonl")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("Error: t.jsonl")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


# ---- convert ------------------------------------------------------------------------------------


def test_convert() -> None:
    anchors(Path("rollouts/problem_1"))
    anchors(Path("rollouts/problem_2"))
    args = ("traces", "convert", "rollouts", "--from", "thought-anchors", "--out", "t.jsonl.gz")
    result = call(*args)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "t.jsonl.gz: 2 traces\n", "")
    assert [trace.trace_id for trace in read_traces("t.jsonl.gz")] == ["problem_1", "problem_2"]
    assert call("traces", "check", "t.jsonl.gz").exit_code == 0


def test_convert_stops_at_losses_unless_lenient() -> None:
    chunks = [{"chunk": "Never said.", "function_tags": []}, *TA_CHUNKS]
    anchors(Path("rollouts/problem_1"), chunks)
    args = ("traces", "convert", "rollouts", "--from", "thought-anchors", "--out", "t.jsonl")
    result = call(*args)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("Error: rollouts: 0 records and 1 steps could not be converted")
    assert not Path("t.jsonl").exists()
    result = call(*args, "--lenient")
    assert (result.exit_code, result.stdout) == (0, "t.jsonl: 1 traces\n")
    assert result.stderr.startswith("Warning: 0 records and 1 steps could not be converted")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nowhere", "--from", "schoenfeld"), 3, "Error: nowhere does not exist"),
        (("nowhere", "--from", "nothing"), 2, "Error: The layout 'nothing' is not known."),
        ((".", "--from", "thought-anchors"), 3, "Error: . holds no chunks_labeled.json"),
    ],
)
def test_convert_errors(args: tuple[str, ...], code: int, message: str) -> None:
    result = call("traces", "convert", *args, "--out", "t.jsonl")
    assert result.exit_code == code
    assert result.stderr.startswith(message)
    assert not files_under(Path())


# ---- sample -------------------------------------------------------------------------------------


def test_sample() -> None:
    result = call("traces", "sample", "--count", 3, "--seed", 9, "--out", "t.jsonl")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "t.jsonl: 3 traces\n", "")
    assert [trace.trace_id for trace in read_traces("t.jsonl")] == [
        "sample-9-0000",
        "sample-9-0001",
        "sample-9-0002",
    ]
    document = json.loads(call("traces", "check", "t.jsonl", "--json").stdout)
    assert {found["count"] for found in document["findings"].values()} == {0}


def test_sample_errors() -> None:
    result = call("traces", "sample", "--count", 0, "--out", "t.jsonl")
    assert result.exit_code == 2
    assert result.stderr == "Error: --count is 0. Expected 1 or more.\n"
    assert not files_under(Path())
    Path("file").write_text("")
    result = call("traces", "sample", "--out", "file/t.jsonl")
    assert result.exit_code == 3
    assert "cannot be written" in result.stderr
    assert files_under(Path()) == {"file"}
