"""Bad traces, models and directories to extract into, by the numbers of the list of bad inputs.

Each case spoils a valid tiny input and gives it to `spectra extract` (and to `spectra traces
check`, where the traces are at fault), which refuses it before any program is compiled.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import extract.pipeline
from extract.inputs import gather
from extract.store import open_store
from spectra.artifacts import open_artifact
from tests.bad_inputs import Case, assert_refused, standing
from tests.breaking import Break, append, cut, put, remove, write
from tests.cli_runs import call
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.trace_lines import line, step, write_lines

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"
ARGS = ("traces.jsonl", "--model", "model", "--out", "out/tiny", "--backend", "cpu")
TRACES, WEIGHTS = "traces.jsonl", "model/model.safetensors"
FIRST, SECOND = (f"model/part{n}.safetensors" for n in (1, 2))
INDEX = "model/model.safetensors.index.json"


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good")
    write_model(path / "model")
    config_of(path, short_traces(3))
    return path


@pytest.fixture
def here(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own with a model and traces to spoil."""
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- what spoils a model -------------------------------------------------------------------------


def tensors(change: Callable[[dict[str, Any]], object]) -> Break:
    """Other tensors in the one file of weights."""

    def work(path: Path) -> None:
        found = load_file(path / WEIGHTS)
        change(found)
        save_file(found, path / WEIGHTS)

    return work


def in_two(path: Path) -> None:
    """The weights in two files and an index, as larger models have them."""
    found = load_file(path / WEIGHTS)
    (path / WEIGHTS).unlink()
    names = sorted(found)
    parts = {FIRST: names[::2], SECOND: names[1::2]}
    for file, some in parts.items():
        save_file({name: found[name] for name in some}, path / file)
    listed = {name: Path(file).name for file, some in parts.items() for name in some}
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": listed}))


def mapped(to: object) -> Break:
    """One entry of the index changed."""

    def work(path: Path) -> None:
        in_two(path)
        document = json.loads((path / INDEX).read_text())
        document["weight_map"]["model.norm.weight"] = to
        (path / INDEX).write_text(json.dumps(document))

    return work


def then(*breaks: Break) -> Break:
    def work(path: Path) -> None:
        for each in breaks:
            each(path)

    return work


def link(path: Path) -> None:
    in_two(path)
    (path / SECOND).unlink()
    os.link(path / FIRST, path / SECOND)


NORM, EMBEDDINGS = "model.norm.weight", "model.embed_tokens.weight"


def misshapen(found: dict[str, Any]) -> None:
    found[NORM] = found[NORM][:-1].copy()


def quantised(found: dict[str, Any]) -> None:
    found[EMBEDDINGS] = found[EMBEDDINGS].astype(np.uint8)


def length(value: int) -> Break:
    return lambda path: (path / WEIGHTS).write_bytes(
        value.to_bytes(8, "little") + (path / WEIGHTS).read_bytes()[8:]
    )


def document(name: str) -> list[Case]:
    """What a JSON file of a model can be instead."""
    return [
        Case(19, f"{name} duplicate key", write(name, b'{"a": 1, "a": 2}'), f"{name}.*2 times"),
        Case(19, f"{name} NaN", write(name, b'{"a": NaN}'), f"{name}.*NaN is not JSON"),
        Case(19, f"{name} mark", write(name, b"\xef\xbb\xbf{}"), f"{name} begins with a UTF-8 by"),
        Case(19, f"{name} deep", write(name, b"[" * 100_000), f"{name}.*nested more than 64 deep"),
        Case(19, f"{name} cut", cut(name, lambda size: size // 2), f"{name} is not JSON"),
        Case(19, f"{name} 4 GB", cut(name, lambda _: 4 << 30), f"{name} has 4,294,967,296 bytes"),
        Case(4, f"{name} a FIFO", put(name, os.mkfifo), f"{name} is a FIFO; expected a regular"),
        Case(8, f"{name} a pointer", write(name, LFS), f"{name} is a Git-LFS pointer, not the da"),
    ]


MODELS = [
    *(Case(1, f"name {name!a}", mapped(name), "does not name a file in the same directory")
      for name in ("../x", "/etc/hosts", "C:x", "a\\b", "a\0b", "..", "\ud800", "n" * 256)),
    Case(1, "name empty", mapped(""), f"{INDEX}.*is empty; expected some text"),
    Case(2, "one inode", link, f"{SECOND} lacks .* tensors"),
    Case(4, "weights a directory", put(WEIGHTS, Path.mkdir), f"{WEIGHTS} is a directory; expect"),
    Case(4, "weights a FIFO", put(WEIGHTS, os.mkfifo), f"{WEIGHTS} is a FIFO; expected a regular"),
    Case(4, "weights a device", put(WEIGHTS, lambda path: path.symlink_to("/dev/zero")),
         f"{WEIGHTS} is a character device"),
    Case(5, "one byte short", cut(WEIGHTS, lambda size: size - 1),
         f"{WEIGHTS} is cut short: expected"),
    Case(5, "half", cut(WEIGHTS, lambda size: size // 2), f"{WEIGHTS} is cut short: expected"),
    Case(5, "5 bytes", cut(WEIGHTS, lambda _: 5), "expected at least 8 bytes, found 5"),
    Case(5, "0 bytes", cut(WEIGHTS, lambda _: 0), "expected at least 8 bytes, found 0"),
    Case(6, "trailing", append(WEIGHTS, b"xy"), f"{WEIGHTS} has .* so 2 are left over"),
    Case(6, "length 2^40", length(2**40), "length field says 1,099,511,627,776 bytes"),
    Case(6, "length 2^63", length(2**63), "length field says 9,223,372,036,854,775,808 bytes"),
    Case(6, "header no JSON", write(WEIGHTS, (9).to_bytes(8, "little") + b"no header"),
         f"{WEIGHTS}: header is not JSON"),
    Case(8, "weights a pointer", write(WEIGHTS, LFS), f"{WEIGHTS} is a Git-LFS pointer"),
    Case(9, "no tensor", tensors(lambda found: found.pop(NORM)),
         f"The weights do not fit the config: {NORM} .missing: 1.*that model/config.json implies"),
    Case(10, "quantised", tensors(quantised), f"1 tensors .* U8.*'{EMBEDDINGS}'"),
    Case(11, "shape", tensors(misshapen), rf"{NORM} is \[\d+\] and not \[\d+\] .misshapen: 1."),
    Case(19, "an unknown architecture", write("model/config.json", b'{"model_type": "abacus"}'),
         "model/config.json.*'abacus'"),
    *document("model/config.json"),
    *document("model/tokenizer_config.json"),
    Case(4, "tokenizer a FIFO", put("model/tokenizer.json", os.mkfifo), "is a FIFO; expected"),
    Case(8, "tokenizer a pointer", write("model/tokenizer.json", LFS), "is a Git-LFS pointer"),
    Case(19, "tokenizer cut", cut("model/tokenizer.json", lambda size: size // 2),
         "model/tokenizer.json"),
    Case(19, "tokenizer not UTF-8", write("model/tokenizer.json", b"\xff"), "tokenizer.json"),
]  # fmt: skip


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_a_model_is_refused(here: Path, case: Case) -> None:
    case.spoil(here)
    before = standing(here)
    for dry in ((), ("--dry-run",)):
        assert_refused(call("extract", *ARGS, *dry), case.text)
        assert standing(here) == before


def test_missing_parts_come_with_the_command_that_fetches_them(here: Path) -> None:
    """Case 3, in lines of its own: the command is to be copied."""
    then(in_two, remove(FIRST, SECOND))(here)
    before = standing(here)
    result = call("extract", *ARGS)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "2 of the 2 files" in result.stderr
    assert "part1.safetensors part2.safetensors --local-dir model" in result.stderr
    assert standing(here) == before


def test_weights_that_change_before_they_are_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 7. What was begun is no artifact yet, and the same command goes on with it."""
    original = extract.pipeline.load

    def spoiled(*args: Any) -> Any:
        shutil.copy(here / WEIGHTS, here / "kept")
        os.truncate(here / WEIGHTS, 1000)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(extract.pipeline, "load", spoiled)
        assert_refused(call("extract", *ARGS), f"{WEIGHTS} changed after it was opened")
    assert not (here / "out/tiny/config.json").exists()
    (log,) = (here / "out/tiny").glob("*.log")
    assert "stopped: ShardChangedError" in log.read_text().splitlines()[-1]
    os.replace(here / "kept", here / WEIGHTS)
    result = call("extract", *ARGS, "--dry-run")
    assert result.exit_code == 0, result.output


# ---- traces --------------------------------------------------------------------------------------


def traced(**changes: Any) -> Break:
    """Two traces, the second with these changes."""
    return lambda path: write_lines(path / TRACES, line(trace_id="z"), line(**changes))


def text(content: bytes) -> Break:
    return write(TRACES, content)


def spans(*steps: tuple[Any, Any]) -> Break:
    return traced(steps=[step(start, end) for start, end in steps])


SECOND_LINE = "Error: traces.jsonl, line 2"
FILES = [
    Case(3, "no file", remove(TRACES), "Error: traces.jsonl does not exist"),
    Case(4, "a directory", put(TRACES, Path.mkdir), "traces.jsonl is a directory; expected"),
    Case(4, "a FIFO", put(TRACES, os.mkfifo), "traces.jsonl is a FIFO; expected a regular file"),
    Case(4, "a device", put(TRACES, lambda path: path.symlink_to("/dev/zero")), "is a character"),
    Case(5, "half", cut(TRACES, lambda size: size // 2), "traces.jsonl, line 2 is not JSON: "),
    Case(5, "xz cut", text(lzma.compress(json.dumps(line()).encode())[:-9]), "traces.jsonl: the "
         "compressed stream is cut short or damaged at line 1"),
    Case(8, "a pointer", text(LFS), "traces.jsonl is a Git-LFS pointer, not the data"),
    *(Case(14, f"span {start!a} to {end!a}", spans((start, end)), f"{SECOND_LINE}: steps.0.{said}")
      for start, end, said in (
          (9, 3, r" spans characters \[9, 3\) of a response of 51"),
          (-1, 3, r" spans characters \[-1, 3\)"),
          (50, 52, r" spans characters \[50, 52\) of a response of 51"),
          (0, 3.0, ": char_end is 3.0; expected an integer"),
          (True, 3, ": char_start is true; expected an integer"),
          (0, "12", ": char_end is '12'; expected an integer"),
          (0, 2**53 + 1, r" spans characters \[0, 9007199254740993\)"),
      )),
    Case(16, "overlap", spans((0, 5), (4, 8)), r"steps\[0\] spans characters \[0, 5\) and steps.1"),
    Case(18, "half a pair", traced(response="ab\ud800c", steps=[]), f"{SECOND_LINE}: response has "
         "half of a surrogate pair"),
    Case(19, "id twice", traced(trace_id="z"), f"{SECOND_LINE} has the trace_id 'z', as line 1"),
    Case(19, "id null", traced(trace_id=None), f"{SECOND_LINE}: trace_id is null; expected"),
    Case(19, "no response", traced(response=...), f"{SECOND_LINE} has no field 'response'"),
    Case(19, "an array", text(b"[1]"), "traces.jsonl, line 1 is an array of 1; expected an object"),
    Case(19, "duplicate key", text(b'{"a": 1, "a": 2}'), "line 1: .* has the key 'a' 2 times"),
    Case(19, "NaN", text(b'{"a": NaN}'), "line 1: the number NaN is not JSON"),
    Case(19, "mark", text(b"\xef\xbb\xbf{}"), "line 1 begins with a UTF-8 byte-order mark"),
    Case(19, "UTF-16", text("{}".encode("utf-16")), "line 1 begins with a UTF-16 byte-order mark"),
    Case(19, "deep", text(b"[" * 100_000), "line 1: arrays and objects are nested more than 64"),
    Case(19, "trailing", text(b'{"a": 1} {}'), "line 1: the document ends before .* follow"),
    Case(19, "no line's end in 2 GB", cut(TRACES, lambda _: 2 << 30), "has more than 67,108,864 "
         "bytes"),
    Case(21, "empty", text(b""), "traces.jsonl holds no trace"),
    Case(21, "blank", text(b"\n \n"), "traces.jsonl holds no trace"),
]  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=str)
def test_traces_are_refused(here: Path, case: Case) -> None:
    case.spoil(here)
    before = standing(here)
    for command in (("extract", *ARGS), ("traces", "check", TRACES)):
        assert_refused(call(*command), case.text)
        assert standing(here) == before


# ---- what is legal, and said -------------------------------------------------------------------

HOSTILE = "=1\x1b[31m<b>\u202e\ud800"


def test_labels_and_empty_steps_come_through(here: Path) -> None:
    """Cases 15 and 18: any label is kept as it is, and shown as text."""
    response = "One. Two. Three."
    steps = [step(0, 4, category=HOSTILE), step(4, 4), step(5, 9, category=" plain  label ")]
    write_lines(here / TRACES, line(response=response, steps=steps))
    result = call("extract", *ARGS)
    assert result.exit_code == 0, result.output
    index = open_artifact(here / "out/tiny").index
    (sample,) = index.samples
    assert [one.category for one in sample.steps] == [HOSTILE, "Deduction", "plain label"]
    assert any("empty steps, which give no row to any pool: 1." in text for text in index.warnings)
    shown = call("traces", "check", TRACES).output + call("info", "out/tiny").output
    assert "=1\\x1b[31m<b>\\u202e\\ud800" in shown
    assert not {"\x1b", "\u202e", "\ud800"} & set(shown)


def test_a_layer_that_the_model_has_not(here: Path) -> None:
    """Case 13."""
    before = standing(here)
    assert_refused(call("extract", *ARGS, "--layers", "9"), "Layer 9 is asked for, and the mo", 2)
    assert standing(here) == before


# ---- places --------------------------------------------------------------------------------------


def test_an_absent_gpu_is_no_silent_cpu(here: Path) -> None:
    """Case 23."""
    before = standing(here)
    absent = "tpu" if "gpu" in {device.platform for device in jax.devices()} else "gpu"
    result = call("extract", *ARGS, "--backend", absent)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install " in result.stderr
    assert standing(here) == before


@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
def test_a_full_disk_keeps_the_old_traces(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Case 24."""
    before = standing(here)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        result = call("traces", "sample", "--count", "1", "--out", TRACES)
    assert_refused(result, "traces.jsonl cannot be written: No space left on device")
    assert standing(here) == before


@pytest.mark.parametrize(
    ("out", "code", "text"),
    [
        ("model", 2, "model/config.json is not an artifact's"),
        ("traces.jsonl", 2, "traces.jsonl"),
        ("traces.jsonl/x", 3, "traces.jsonl/x cannot be written"),
        ("n" * 300, 3, "File name too long"),
    ],
)
def test_an_output_that_cannot_be(here: Path, out: str, code: int, text: str) -> None:
    before = standing(here)
    assert_refused(call("extract", *ARGS, "--out", out), text, code)
    assert standing(here) == before


def test_another_run_is_writing(here: Path) -> None:
    """Case 25: the lock names its holder."""
    inputs = gather(config_of(here, (), out=Path("out/tiny")))
    with open_store(Path("out/tiny"), inputs.plan, inputs.fingerprint):
        before = standing(here)
        result = call("extract", *ARGS)
        assert_refused(result, rf"out/tiny is being written by process {os.getpid()} on ", 2)
        assert standing(here) == before


def test_a_run_of_another_configuration_was_begun(here: Path) -> None:
    """Case 25: what differs is named, and nothing is changed."""
    inputs = gather(config_of(here, (), model="model", out=Path("out/tiny")))
    with open_store(Path("out/tiny"), inputs.plan, inputs.fingerprint):
        pass
    before = standing(here)
    result = call("extract", *ARGS, "--layers", "0")
    assert_refused(result, r"plan.saved_layers was \[3\], is \[0\].*--fresh", 2)
    after = standing(here)
    assert after.keys() == before.keys()
    del before["out/tiny"], after["out/tiny"]  # whose time is that of the lock, which came and went
    assert after == before


NOT_OF_EXTRACTION = {12, 17, 20, 22}
"""Rows of shards, their borders, states and spectra: extraction makes them and reads none."""

IN_A_TEST = {3, 7, 13, 15, 18, 23, 24, 25}


def test_every_number_of_the_list_is_here_or_not_of_extraction() -> None:
    here = {case.number for case in MODELS + FILES} | IN_A_TEST
    assert here | NOT_OF_EXTRACTION == set(range(1, 26))
    assert not here & NOT_OF_EXTRACTION
