"""Annotated traces as JSON Lines: what is read, what is refused, what survives a round trip."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from extract.traces import Trace, TraceStep, _streams, errors, read_traces, write_traces
from spectra import extras
from spectra.errors import (
    FieldTypeError,
    FieldValueError,
    GitLfsPointerError,
    InputError,
    JsonDuplicateKeyError,
    JsonEncodingError,
    JsonSyntaxError,
    MissingFieldError,
    MissingFileError,
    NotARegularFileError,
)
from spectra.notes import Notes
from tests.shared_data import shared
from tests.trace_lines import PACK, RESPONSE, line, step, trace_of, write_lines


def read_one(path: Path) -> Trace:
    (trace,) = read_traces(path)
    return trace


# ---- what is read -------------------------------------------------------------------------------


def test_a_line_becomes_a_trace(tmp_path: Path) -> None:
    trace = read_one(write_lines(tmp_path / "t.jsonl", line(more=[1])))
    assert trace == Trace(
        trace_id="a",
        problem_id="p",
        generator="some/model",
        prompt="2 + 2?",
        response=RESPONSE,
        steps=(
            TraceStep(8, 20, "thought", "Deduction"),
            TraceStep(22, 35, "thought", "Deduction"),
            TraceStep(46, 51, "solution", "Final Answer"),
        ),
        metadata={"level": 1},
        extra={"more": [1]},
    )
    assert [RESPONSE[s.char_start : s.char_end] for s in trace.steps] == [
        "Two and two.",
        "That is four.",
        "Four.",
    ]


def test_optional_fields_may_be_absent_or_null(tmp_path: Path) -> None:
    changes: dict[str, Any] = dict.fromkeys(("problem_id", "generator", "metadata"), ...)
    bare = line(steps=[], messages=None, prompt_token_ids=None, **changes)
    trace = read_one(write_lines(tmp_path / "t.jsonl", bare))
    assert (trace.problem_id, trace.generator, trace.metadata, trace.extra) == (None, None, {}, {})


def test_messages_and_token_ids(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": "2 + 2?"}]
    ids = {"prompt_token_ids": [1, 2**31 - 1], "response_token_ids": []}
    trace = read_one(write_lines(tmp_path / "t", line(prompt=..., messages=messages, **ids)))
    assert trace.prompt is None
    assert list(trace.messages or ()) == messages
    assert (trace.prompt_token_ids, trace.response_token_ids) == ((1, 2**31 - 1), ())


def test_whole_numbers_serve_as_ids(tmp_path: Path) -> None:
    trace = read_one(write_lines(tmp_path / "t", line(trace_id=7, problem_id=0)))
    assert (trace.trace_id, trace.problem_id) == ("7", "0")


def test_an_empty_prompt_is_a_prompt(tmp_path: Path) -> None:
    assert read_one(write_lines(tmp_path / "t", line(prompt=""))).prompt == ""


def test_steps_are_sorted(tmp_path: Path) -> None:
    steps = [step(22, 35), step(8, 20), step(35, 35), step(10, 10), step(20, 22)]
    trace = read_one(write_lines(tmp_path / "t", line(steps=steps)))
    assert [(s.char_start, s.char_end) for s in trace.steps] == [
        (8, 20),
        (10, 10),
        (20, 22),
        (22, 35),
        (35, 35),
    ]


def test_labels(tmp_path: Path) -> None:
    named = ["thought", "THINKING", " think ", "solution", None, "", "answer", "answer", "plan"]
    steps = [step(i, i + 1, segment) for i, segment in enumerate(named)]
    steps[0]["category"], steps[1]["category"] = "  Final \n Answer ", " "
    steps[2]["category"] = None
    notes = Notes()
    (trace,) = read_traces(write_lines(tmp_path / "t", line(steps=steps)), notes)
    thought, none = "thought", None
    assert [s.segment for s in trace.steps] == [
        *(thought, thought, thought, "solution"),
        *(none, none, none, none, none),
    ]
    assert [s.category for s in trace.steps[:4]] == ["Final Answer", None, None, "Deduction"]
    (sentence,) = notes.sentences("t", uncovered=0, num_tokens=0)
    assert sentence == (
        "t: 3 steps have a segment other than thought or solution and count in no segment: "
        "'answer' (2), 'plan' (1)."
    )


def test_characters_are_code_points(tmp_path: Path) -> None:
    trace = line(response="😀é=1", steps=[step(1, 2), step(2, 4)])
    path = tmp_path / "t"
    path.write_text(json.dumps(trace, ensure_ascii=False), encoding="utf-8")
    assert read_one(path).steps[1].char_end == 4


@pytest.mark.parametrize("suffix", PACK)
def test_kinds_of_files_are_told_by_their_first_bytes(tmp_path: Path, suffix: str) -> None:
    text = "\n" + "\n  \r\n".join(json.dumps(line(trace_id=i)) for i in "abc")
    path = tmp_path / "no-suffix"
    path.write_bytes(PACK[suffix](text.encode()))
    assert [trace.trace_id for trace in read_traces(path)] == ["a", "b", "c"]


@pytest.mark.parametrize("suffix", PACK)
def test_parts_of_compressed_files_follow_one_another(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "t"
    parts = [PACK[suffix]((json.dumps(line(trace_id=i)) + "\n").encode()) for i in "ab"]
    path.write_bytes(b"".join(parts))
    assert [trace.trace_id for trace in read_traces(str(path))] == ["a", "b"]


@pytest.mark.parametrize("suffix", PACK)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    data = PACK[suffix](json.dumps(line()).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [trace.trace_id for trace in read_traces("-")] == ["a"]


def test_reading_is_lazy(tmp_path: Path) -> None:
    traces = read_traces(write_lines(tmp_path / "t", line(), [1]))
    assert next(traces).trace_id == "a"
    with pytest.raises(FieldTypeError):
        next(traces)


def test_the_real_traces() -> None:
    traces = list(read_traces(shared("traces/thought_anchors_753.jsonl.xz")))
    assert (len(traces), sum(len(trace.steps) for trace in traces)) == (753, 39_795)


# ---- what is refused ----------------------------------------------------------------------------

REFUSED: list[tuple[Any, type[InputError], str]] = [
    ([1], FieldTypeError, "is an array of 1; expected an object"),
    (line(trace_id=...), MissingFieldError, "no field 'trace_id'"),
    (line(trace_id=""), FieldValueError, "trace_id is empty"),
    (line(trace_id=True), FieldTypeError, "trace_id is true; expected a string"),
    (line(trace_id=1.0), FieldTypeError, "trace_id is 1.0; expected a string"),
    (line(problem_id=[]), FieldTypeError, "problem_id is an array of 0"),
    (line(generator=1), FieldTypeError, "generator is 1; expected a string"),
    (line(metadata="x"), FieldTypeError, "metadata is 'x'; expected an object"),
    (line(response=...), MissingFieldError, "no field 'response'"),
    (line(response="", steps=[]), FieldValueError, "response is empty"),
    (line(prompt=...), errors.PromptChoiceError, "has neither of prompt and messages"),
    (line(prompt=None), errors.PromptChoiceError, "has neither of prompt and messages"),
    (
        line(messages=[{"role": "user", "content": ""}]),
        errors.PromptChoiceError,
        "has both of prompt and messages",
    ),
    (line(prompt=3), FieldTypeError, "prompt is 3; expected a string"),
    (line(prompt=..., messages="x"), FieldTypeError, "messages is 'x'; expected an array"),
    (line(prompt=..., messages=[]), FieldValueError, "messages is empty"),
    (line(prompt=..., messages=["x"]), FieldTypeError, "messages[0] is 'x'; expected an object"),
    (line(prompt=..., messages=[{}]), MissingFieldError, "messages[0] has no field 'role'"),
    (line(steps=...), MissingFieldError, "no field 'steps'"),
    (line(steps={}), FieldTypeError, "steps is an object with 0 fields; expected an array"),
    (line(steps=[3]), FieldTypeError, "steps[0] is 3; expected an object"),
    (line(steps=[{}]), MissingFieldError, "steps[0] has no field 'char_start'"),
    (line(steps=[step(0, 1), {"char_start": 1}]), MissingFieldError, "steps[1] has no field 'ch"),
    (line(steps=[step(False, 1)]), FieldTypeError, "steps[0]: char_start is false"),
    (line(steps=[step(0, 3.0)]), FieldTypeError, "steps[0]: char_end is 3.0"),  # type: ignore[arg-type]
    (line(steps=[step(0, "3")]), FieldTypeError, "char_end is '3'"),  # type: ignore[arg-type]
    (line(steps=[step(-1, 3)]), errors.StepSpanError, "spans characters [-1, 3) of a response of"),
    (line(steps=[step(9, 3)]), errors.StepSpanError, "spans characters [9, 3)"),
    (line(steps=[step(50, 52)]), errors.StepSpanError, "[50, 52) of a response of 51"),
    (line(steps=[step(0, 1, 1)]), FieldTypeError, "segment is 1; expected a string"),  # type: ignore[arg-type]
    (line(steps=[step(0, 1, category=[])]), FieldTypeError, "category is an array of 0"),  # type: ignore[arg-type]
    (
        line(steps=[step(20, 30), step(0, 5), step(4, 8)]),
        errors.OverlappingStepsError,
        "steps[1] spans characters [0, 5) and steps[2] spans [4, 8)",
    ),
    (
        line(steps=[step(0, 9), step(3, 3), step(8, 9)]),
        errors.OverlappingStepsError,
        "steps[0] spans characters [0, 9) and steps[2] spans [8, 9)",
    ),
    (line(prompt_token_ids=5), FieldTypeError, "prompt_token_ids is 5; expected an array"),
    (line(prompt_token_ids=[1, -1]), FieldValueError, "prompt_token_ids[1] is -1"),
    (line(response_token_ids=[2**31]), FieldValueError, "response_token_ids[0] is 2147483648"),
    (line(response_token_ids=[1.0]), FieldTypeError, "response_token_ids[0] is 1.0"),
    (line(response_token_ids=[True]), FieldTypeError, "response_token_ids[0] is true"),
    (
        line(response="ab\ud800c", steps=[]),
        errors.TraceTextError,
        "response has half of a surrogate pair ('\\ud800') at character 2",
    ),
    (line(prompt="\udc00"), errors.TraceTextError, "prompt has half of a surrogate pair"),
    (
        line(prompt=..., messages=[{"role": "user", "content": [{"text": "x\ud800"}]}]),
        errors.TraceTextError,
        "messages[0]: text has half of a surrogate pair ('\\ud800') at character 1",
    ),
    (line(trace_id="first"), errors.DuplicateTraceError, "'first', as line 1 has"),
]


@pytest.mark.parametrize(("value", "error", "text"), REFUSED)
def test_refuses(tmp_path: Path, value: Any, error: type[InputError], text: str) -> None:
    path = write_lines(tmp_path / "t.jsonl", line(trace_id="first"), line(trace_id="b"))
    with open(path, "a") as stream:
        stream.write("\n" + json.dumps(value))
    with pytest.raises(error) as caught:
        list(read_traces(path))
    message = str(caught.value)
    assert message.startswith(f"{path}, line 4")
    assert text in message
    assert len(message) < 400 + len(str(path))


RAW: list[tuple[bytes, type[InputError], str]] = [
    (b"", errors.NoTracesError, "holds no trace"),
    (b"\n \n\t\n", errors.NoTracesError, "holds no trace"),
    (b"\xef\xbb\xbf{}", JsonEncodingError, "line 1 begins with a UTF-8 byte-order mark"),
    ("{}".encode("utf-16"), JsonEncodingError, "UTF-16"),
    (b'\n{"trace_id": "\xff"}', JsonEncodingError, "line 2: byte 14 (0xff) is not UTF-8"),
    (b'{"trace_id": "a', JsonSyntaxError, "line 1 is not JSON"),
    (b'{"trace_id": 1, "trace_id": 2}', JsonDuplicateKeyError, "'trace_id' 2 times"),
    (b"version https://git-lfs.github.com/spec/v1\n", GitLfsPointerError, "git lfs pull"),
]


@pytest.mark.parametrize(("data", "error", "text"), RAW)
def test_refuses_bytes(tmp_path: Path, data: bytes, error: type[InputError], text: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(data)
    with pytest.raises(error, match=str(path)) as caught:
        list(read_traces(path))
    assert text in str(caught.value)


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".zst"])
def test_refuses_damaged_streams(tmp_path: Path, suffix: str) -> None:
    text = "".join(json.dumps(line(trace_id=i)) + "\n" for i in range(2000)).encode()
    whole = PACK[suffix](text)
    path = tmp_path / f"t{suffix}"
    middle = len(whole) // 2
    flipped = bytes([*whole[:middle], whole[middle] ^ 255, *whole[middle + 1 :]])
    for data in (whole[:middle], whole[:-1], whole[:12]):
        path.write_bytes(data)
        with pytest.raises(errors.CompressedTracesError, match="cut short or damaged at line"):
            list(read_traces(path))
    path.write_bytes(flipped)
    with pytest.raises(InputError):  # whichever is seen first: the damage, or what it leads to
        list(read_traces(path))


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotARegularFileError, match="a directory"):
        list(read_traces(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotARegularFileError, match="a FIFO"):
        list(read_traces(tmp_path / "fifo"))
    with pytest.raises(MissingFileError, match="does not exist"):
        list(read_traces(tmp_path / "absent"))


@pytest.mark.parametrize("suffix", PACK)
def test_refuses_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    limit = 100_000
    monkeypatch.setattr(_streams, "MAX_LINE_BYTES", limit)
    spare = limit - len(json.dumps(line(metadata={"x": ""})))
    path = tmp_path / "t"
    for more, long in ((0, False), (1, True), (50 * limit, True)):
        text = json.dumps(line(metadata={"x": " " * (spare + more)}))
        path.write_bytes(PACK[suffix](text.encode()))
        if not long:
            assert len(list(read_traces(path))) == 1
            continue
        with pytest.raises(errors.TraceLineTooLongError, match="line 1 has more than 100,000 byt"):
            list(read_traces(path))


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".zst"])
def test_a_bomb_is_an_error_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A line of 64 MiB in a small file, of which no more is held than a line may have, or a few
    blocks of the compressed stream.
    """
    monkeypatch.setattr(_streams, "MAX_LINE_BYTES", 1 << 20)
    path = tmp_path / f"bomb{suffix}"
    block = b" " * (1 << 20)
    with _streams.writing(path) as stream:
        stream.write(b"{")
        for _ in range(64):
            stream.write(block)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(errors.TraceLineTooLongError):
        list(read_traces(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20


def test_zstd_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.zst"
    write_traces(path, [trace_of(line())])
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(extras.MissingExtraError, match=r"pip install .*\[extract\]"):
        list(read_traces(path))
