"""Writing annotated traces: what survives a round trip, what is refused, what is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.traces import Trace, TraceStep, errors, read_traces, write_traces
from extract.traces._files import as_json
from spectra.errors import OutputError
from tests.trace_lines import PACK, line, step, trace_of


@pytest.mark.parametrize("suffix", PACK)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    messages = [{"role": "user", "content": "é😀"}]
    traces = [
        trace_of(line(more={"x": None}, steps=[step(0, 3) | {"score": 0.5}])),
        trace_of(line(trace_id="b", prompt=..., messages=messages, response_token_ids=[0, 5])),
    ]
    path = tmp_path / f"t{suffix}"
    assert write_traces(path, iter(traces)) == 2
    assert list(read_traces(path)) == traces
    first = path.read_bytes()
    write_traces(path, traces)
    assert path.read_bytes() == first
    if suffix == ".gz":
        assert first[3:8] == bytes(5)  # no name, no time
    if suffix != ".jsonl":
        assert first[:2] != b'{"'
    assert {p.name for p in tmp_path.iterdir()} == {path.name}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    response = draw(TEXT)
    cuts = sorted(draw(st.lists(st.integers(0, len(response)), max_size=8)))
    label = st.none() | st.sampled_from(["Final Answer", "x", "😀"])
    steps = tuple(
        TraceStep(start, end, draw(st.sampled_from(["thought", "solution", None])), draw(label))
        for start, end in zip(cuts[::2], cuts[1::2], strict=False)
    )
    ids = st.none() | st.lists(st.integers(0, 2**31 - 1)).map(tuple)
    return Trace(
        trace_id=draw(TEXT),
        response=response,
        steps=steps,
        prompt=draw(TEXT),
        problem_id=draw(st.none() | TEXT),
        prompt_token_ids=draw(ids),
        response_token_ids=draw(ids),
        generator=draw(st.none() | TEXT),
        metadata=draw(st.dictionaries(TEXT, st.integers())),
    )


@given(traces())
def test_any_trace_survives_its_line(trace: Trace) -> None:
    assert trace_of(json.loads(json.dumps(as_json(trace)))) == trace


def test_refuses_to_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.NothingToWriteError, match="There is no trace to write"):
        write_traces(tmp_path / "t.jsonl", [])
    assert not list(tmp_path.iterdir())


def test_refuses_to_write_an_id_twice(tmp_path: Path) -> None:
    with pytest.raises(errors.DuplicateTraceError, match="the trace_id 'a'"):
        write_traces(tmp_path / "t.jsonl", [trace_of(line())] * 2)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    def failing() -> Iterator[Trace]:
        yield trace_of(line())
        raise ZeroDivisionError

    for suffix in PACK:
        path = tmp_path / f"t{suffix}"
        path.write_bytes(b"before")
        with pytest.raises(ZeroDivisionError):
            write_traces(path, failing())
        assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == len(PACK)


def test_the_directory_is_made(tmp_path: Path) -> None:
    assert write_traces(tmp_path / "a" / "b" / "t.jsonl", [trace_of(line())]) == 1


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_traces(tmp_path / "file" / "t.jsonl", [trace_of(line())])
