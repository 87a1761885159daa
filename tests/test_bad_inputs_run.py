"""Bad artifacts and results on the command line, by the numbers of the list of bad inputs.

Each case spoils a valid tiny input and gives it to the commands that read it. The classes of the
errors, and the finer variants of each case, are in test_artifacts_faults.py and its siblings.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest

import spectra.artifacts.rows as rows_module
from spectra.artifacts import Sample, Step, write_artifact
from tests.artifact_files import DIM, SHARDS, edit, rows, safetensors_bytes, write_tiny
from tests.bad_inputs import Case, assert_refused, standing
from tests.breaking import (
    Break,
    append,
    bounds,
    config,
    cut,
    hard_link,
    header,
    length,
    named,
    put,
    remove,
    sample,
    shard_bytes,
    step,
    tensor,
    write,
)
from tests.cli_runs import SMALL, call

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"
TWO = {
    name: {"dtype": "U8", "shape": [4], "data_offsets": [begin, begin + 4]}
    for name, begin in (("F", 0), ("G", 2))
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("good") / "tiny")


@pytest.fixture
def tiny(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil, alone in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(good, tmp_path / "tiny"))


def document(name: str) -> list[Case]:
    """What a JSON file can be instead."""
    text = {
        "duplicate key": (b'{"a": 1, "a": 2}', "has the key 'a' 2 times"),
        "NaN": (b'{"a": NaN}', "the number NaN is not JSON"),
        "infinity": (b'{"a": -Infinity}', "the number -Infinity is not JSON"),
        "beyond doubles": (b'{"a": 1e999}', "1e999 is beyond the range of a double"),
        "digits": (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        "mark": (b"\xef\xbb\xbf{}", "begins with a UTF-8 byte-order mark"),
        "deep": (b"[" * 100_000, "nested more than 64 deep"),
        "UTF-16": ("{}".encode("utf-16"), "begins with a UTF-16 byte-order mark"),
        "not UTF-8": (b'{"a": "\xff"}', "byte 7 .0xff. is not UTF-8"),
        "empty": (b"", "is empty; expected a JSON document"),
        "half": (b'{"model": "ti', "is not JSON: .* cut short"),
    }
    cases = [Case(19, f"{name} {what}", write(name, data), f"{name}.*{said}")
             for what, (data, said) in text.items()]  # fmt: skip
    return [
        *cases,
        Case(19, f"{name} trailing", append(name, b"{}"), f"{name}: .* 2 characters follow"),
        Case(19, f"{name} of 2 GB", cut(name, lambda _: 2 << 30), f"{name} has 2,147,483,648 by"),
        Case(8, f"{name} a pointer", write(name, LFS), f"{name} is a Git-LFS pointer, not the"),
        Case(4, f"{name} a directory", put(name, Path.mkdir), f"{name} is a directory; expected"),
        Case(4, f"{name} a FIFO", put(name, os.mkfifo), f"{name} is a FIFO; expected a regular"),
        Case(4, f"{name} a device", put(name, lambda path: path.symlink_to("/dev/zero")),
             f"{name} is a character device"),
    ]  # fmt: skip


CASES = [
    *(Case(1, f"name {name!a}", named(name), f"shards.0.: the shard name .* {said}")
      for name, said in (("../x", "holds a path separator"), ("/etc/hosts", "path separator"),
                         ("C:x", "leads out of"), ("..\\x", "path separator"),
                         ("\\\\host\\share\\x", "path separator"), ("a\0b", "holds a NUL"),
                         (".", "leads out of the directory"), ("..", "leads out of"),
                         ("\ud800", "is not valid Unicode"), ("n" * 256, "is 256 bytes long"))),
    Case(1, "name empty", named(""), r"shards\[0\]: file is empty; expected some text"),
    Case(2, "listed twice", named(SHARDS[1]), f"shard '{SHARDS[1]}' is listed twice"),
    Case(2, "one inode", hard_link, f"'{SHARDS[0]}' and '{SHARDS[1]}' are two names of one file"),
    Case(3, "missing", remove(*SHARDS),
         f"2 of 4 shards .* missing: {SHARDS[0]}, {SHARDS[1]}. .*: hf download .*tiny/"),
    Case(4, "a directory", put(SHARDS[1], Path.mkdir), f"{SHARDS[1]} is a directory; expected"),
    Case(4, "a FIFO", put(SHARDS[1], os.mkfifo), f"{SHARDS[1]} is a FIFO; expected a regular"),
    Case(4, "a device", put(SHARDS[1], lambda path: path.symlink_to("/dev/zero")),
         f"{SHARDS[1]} is a character device"),
    Case(5, "one byte short", cut(SHARDS[1], lambda size: size - 1),
         rf"{SHARDS[1]} is cut short: expected (\d+) bytes, found \d+"),
    Case(5, "half", cut(SHARDS[1], lambda size: size // 2), "is cut short: expected"),
    Case(5, "5 bytes", cut(SHARDS[1], lambda _: 5), "is cut short: expected at least 8 .* 5"),
    Case(5, "0 bytes", cut(SHARDS[1], lambda _: 0), "is cut short: expected at least 8 .* 0"),
    Case(6, "trailing", append(SHARDS[1], b"xy"), f"{SHARDS[1]} has .* so 2 are left over"),
    Case(6, "length 2^40", length(2**40), "length field says 1,099,511,627,776 bytes"),
    Case(6, "length 2^63", length(2**63), "length field says 9,223,372,036,854,775,808 bytes"),
    Case(6, "header no JSON", header(b"hidden"), f"{SHARDS[1]}: header is not JSON"),
    Case(6, "header deep", header(b"[" * 100_000), "header: arrays and objects are nested"),
    Case(6, "overlap", header(TWO), r"'G' at bytes \[2, 6\) overlaps tensor 'F', which ends at 4"),
    Case(6, "gap", header({**TWO, "G": {**TWO["G"], "data_offsets": [5, 9]}}), "leaves a gap"),
    Case(8, "a pointer", write(SHARDS[1], LFS), f"{SHARDS[1]} is a Git-LFS pointer, not the data"),
    Case(9, "no tensor", header({"states": {"dtype": "U8", "shape": [320],
                                            "data_offsets": [0, 320]}}),
         "has no tensor 'hidden_states'; its tensors are: 'states'"),
    Case(10, "other dtype", tensor(dtype="F16"), f"{SHARDS[1]}: .* F16, but .* bfloat16"),
    Case(11, "three axes", tensor(shape=[20, DIM, 1]), r"\[20, 8, 1\]; config.json says \[20, 8\]"),
    Case(11, "width", tensor(shape=[40, 4]), r"\[40, 4\]; config.json says \[20, 8\]"),
    Case(11, "rows", shard_bytes(lambda _: safetensors_bytes(
        {"hidden_states": {"dtype": "BF16", "shape": [19, 8], "data_offsets": [0, 304]}},
        bytes(304))), r"\[19, 8\]; config.json says \[20, 8\] .tokens \[10, 30\)"),
    Case(12, "overlap", bounds(1, token_start=8), rf"'{SHARDS[0]}' \[0, 10\) and .* overlap by 2"),
    Case(12, "gap", bounds(1, token_start=13), r"\[0, 10\) and .* \[13, 30\) leave a gap of 3"),
    Case(12, "negative", bounds(0, token_start=-1), "token_start is -1; expected an integer"),
    Case(12, "short", bounds(1, token_end=29), "ends at token 29, but num_tokens is 30"),
    Case(13, "name of another layer", config(layer=2), "named for layer 5 but listed for layer 2"),
    Case(13, "mixed", lambda path: edit(path / "config.json", lambda document: document["layers"][0]
         .update(shards=document["layers"][1]["shards"])), "named for layer 5 but .* layer 2"),
    *(Case(14, f"step {key} {value!a}", step(**{key: value}),
           rf"samples\[1\].steps\[0\] .sample 'b'.: {key} is {said}; expected an integer from 0")
      for key, value, said in (("token_start", -1, "-1"), ("token_start", 3.0, "3.0"),
                               ("global_start", True, "true"), ("token_end", "12", "'12'"),
                               ("global_end", 2**53 + 1, "9007199254740993"))),
    Case(14, "step backward", step(token_start=9, global_start=19),
         r"steps\[0\] .sample 'b'. has token_start 9, token_end 8"),
    Case(14, "step past the sample", step(token_end=21, global_end=31), "in a sample of 20 tokens"),
    Case(14, "sample past the end", sample(1, num_tokens=21), r"rows \[10, 31\), but .* end at 30"),
    Case(19, "sample id twice", sample(1, sample_id="a"), "both have the sample_id 'a'"),
    Case(19, "totals", config(num_samples=3), "num_samples is 3 but index.json holds 2"),
    *document("config.json"),
    *document("index.json"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_artifact_is_refused(tiny: Path, case: Case) -> None:
    case.spoil(tiny)
    before = standing(tiny.parent)
    for command in ("run", "info", "verify"):
        assert_refused(call(command, tiny), case.text)
        assert standing(tiny.parent) == before


def test_a_socket_in_place_of_a_shard(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny / SHARDS[1]).unlink()
    monkeypatch.chdir(tiny)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SHARDS[1])
        assert_refused(call("info", "."), f"{SHARDS[1]} is a socket; expected a regular file")


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_a_shard_changes_while_it_is_read(
    good: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Case 7: the file that is open shrinks, or another one gets its name."""
    original, shard = rows_module.RowReader.read, tiny / SHARDS[1]

    def spoil(self: Any, *args: Any) -> Any:
        if how == "cut":
            os.truncate(shard, 200)
        else:
            shutil.copy(shard, tiny / "other")
            os.replace(tiny / "other", shard)
        return original(self, *args)

    monkeypatch.setattr(rows_module.RowReader, "read", spoil)
    # What `verify` reads first is another layer's.
    changed = f"{SHARDS[1]} changed during the run: it had 408 bytes .* Stop whatever writes to it"
    assert_refused(call("verify", tiny), changed)
    if how == "cut":
        shutil.copy(good / SHARDS[1], shard)
        ended = f"{SHARDS[1]} ended at byte 200 while it was read; .* stop whatever writes to it"
        assert_refused(call("run", tiny, *SMALL), ended)
    assert not Path("spectral_metrics").exists()


# ---- what is legal, and said -------------------------------------------------------------------

HOSTILE = '=1+1\x1b[31m<b>"\u202e\ud800'
CHART = "thought"
"""A category named like a segment."""


def write_odd(path: Path) -> Path:
    """Traces with an empty step, an overlap, one NaN, labels that would like to be more."""
    states = rows(120, seed=1)
    states[50] = states[50] * ml_dtypes.bfloat16(np.nan)
    states[60:70] = states[60]
    spans = (
        *((0, 40, "thought", "plain"), (40, 40, "thought", "plain"), (36, 44, "thought", "plain")),
        *((48, 56, "solution", "broken"), (60, 70, None, "constant"), (70, 71, None, "single")),
        *((80, 100, "solution", HOSTILE), (100, 120, "solution", CHART)),
    )
    steps = tuple(Step(a, b, a, b, segment, label, 0, 1) for a, b, segment, label in spans)
    return write_artifact(
        path,
        model="odd\u202e",
        layers={5: states},
        samples=[Sample("a\x1b", None, 0, 120, 0, steps)],
        final_norm=None,
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The directory with the input, its results, and what the run said."""
    root = tmp_path_factory.mktemp("odd")
    source = write_odd(root / "odd")
    out = ("--out", root / "out", "--pools", "all,first")
    return root, call("run", source, "--strict", *out, *SMALL)


def basic(root: Path, pool: str = "all") -> Any:
    return json.loads((root / f"out/odd/pool_{pool}/basic_metrics.json").read_text())


def test_what_is_odd_is_said_and_strict_minds(odd: tuple[Path, Any]) -> None:
    """Cases 15, 16 and 20 in one run."""
    result = odd[1]
    assert result.exit_code == 4
    said = result.stderr.splitlines()
    assert any("empty steps, which give no row to any pool: 1." in line for line in said)
    assert any("overlap an earlier step of their sample: 1 (first: steps 0 and 2" in line
               for line in said)  # fmt: skip
    assert any("layer 5: 1 token rows hold NaN or infinity and leave their groups undefined, the "
               "first at sample 'a\\x1b', token 50" in line for line in said)  # fmt: skip
    assert said[-1].startswith("Error: everything was written, but under --strict ")
    assert "overlap an earlier one: 1" in said[-1]


def test_values_or_a_status(odd: tuple[Path, Any]) -> None:
    """Cases 15, 20 and 21: each group has a value or says why not, and concerns no other."""
    found = basic(odd[0])["categories"]
    assert {name: record["status"] for name, record in found.items() if name != HOSTILE} == {
        "plain": "short_spectrum",
        "broken": "nonfinite",
        "constant": "degenerate",
        "single": "too_few_rows",
        CHART: "short_spectrum",
    }
    for record in found.values():
        undefined = record["status"] in ("nonfinite", "degenerate", "too_few_rows")
        assert (record["rankme"] is None) == undefined
        assert record["reason"]
    assert found["plain"]["num_rows"] == 48  # a token in two steps counts in both
    assert basic(odd[0], "first")["categories"]["plain"]["num_rows"] == 2  # the empty one has none


def test_nonfinite_rows_may_be_an_error(odd: tuple[Path, Any], tmp_path: Path) -> None:
    result = call("run", odd[0] / "odd", "--out", tmp_path, "--nonfinite", "error")
    assert_refused(result, "holds NaN or infinity")
    assert list(tmp_path.iterdir()) == []


def test_labels_are_text_everywhere(odd: tuple[Path, Any], tmp_path: Path) -> None:
    """Case 18, and what a spreadsheet or a browser would run."""
    root, result = odd
    shown = '=1+1\\x1b[31m<b>"\\u202e\\ud800'
    assert HOSTILE in basic(root)["categories"]
    assert shown in result.stdout
    for text in (result.output, call("info", root / "odd").output):
        assert not {"\x1b", "\u202e", "\ud800"} & set(text)
    with (root / "out/odd/metrics.csv").open(newline="", encoding="utf-8") as file:
        labels = {line["category"] for line in csv.DictReader(file)}
    assert "'=1+1\x1b[31m<b>\"\u202e\\ud800" in labels
    page = tmp_path / "page.html"
    assert call("report", root / "out", "-o", page, "-q").exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e", "\ud800"} & set(html)
    assert "31m<b>" not in html
    assert "31m&lt;b&gt;" in html
    assert f"<bdi>category:{CHART}</bdi>" in html
    assert "thought (2)" not in html
    markdown = call("table", root / "out", "--pool", "all").stdout
    assert '=1+1\\\\x1b\\[31m\\<b\\>"\\\\u202e\\\\ud800' in markdown
    table = tmp_path / "table.csv"
    assert call("table", root / "out", "-o", table, "-q").exit_code == 0
    for line in csv.reader(table.read_text(encoding="utf-8").splitlines()):
        assert not any(cell[:1] in ("=", "+", "@") for cell in line)


def test_a_hundred_thousand_labels_are_capped(tiny: Path) -> None:
    many = [
        {"global_start": 10 + n % 20, "global_end": 11 + n % 20, "category": f"label {n}"}
        for n in range(100_000)
    ]
    edit(tiny / "index.json", lambda index: index["samples"][1].update(steps=many))
    edit(tiny / "config.json", lambda document: document.update(num_steps=100_002))
    result = call("run", tiny, "--dry-run", "--max-categories", "3", "--pools", "all", *SMALL)
    assert result.exit_code == 0, result.output
    assert "100002 categories" in result.output.replace(",", "")


# ---- results ------------------------------------------------------------------------------------


@pytest.fixture
def results(odd: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run's output to spoil, alone in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(odd[0] / "out" / "odd", tmp_path / "odd"))


BASIC, DEPTH, SWEEP, ROUTES = (
    f"pool_all/{name}.json"
    for name in ("basic_metrics", "depth_profile", "token_count_sweep", "svd_vs_covariance")
)


def edited(name: str, *place: str | int, to: object) -> Break:
    """A value of a metric file changed, and run.json made to agree."""

    def change(path: Path) -> None:
        document = json.loads((path / name).read_text())
        inner = document
        for part in place[:-1]:
            inner = inner[part]
        if to is ...:
            del inner[place[-1]]
        else:
            inner[place[-1]] = to
        text = json.dumps(document)
        (path / name).write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if name != "run.json":
            edit(path / "run.json", lambda run: run["outputs"].update({name: digest}))

    return change


RESULTS = [
    Case(5, "half a metric file", cut(BASIC, lambda size: size // 2), f"{BASIC} is not the file "
         "that .*run.json lists: its SHA-256 is"),
    Case(8, "a pointer", write(BASIC, LFS), f"{BASIC} is a Git-LFS pointer"),
    Case(4, "a FIFO", put(BASIC, os.mkfifo), f"{BASIC} is a FIFO"),
    Case(4, "run.json a directory", put("run.json", Path.mkdir), "run.json is a directory"),
    Case(3, "a missing file", remove(DEPTH), f"{DEPTH} does not exist"),
    Case(19, "run.json cut", cut("run.json", lambda size: size - 40), "run.json is not JSON"),
    Case(19, "run.json deep", write("run.json", b"[" * 100_000), "run.json: .* nested more than"),
    Case(19, "no warnings", edited("run.json", "warnings", to=...), "run.json: warnings is not th"),
    Case(19, "a warning 3", edited("run.json", "warnings", 0, to=3), r"run.json: warnings\[0\] is "
         "3; expected a string"),
    Case(19, "layers", edited("run.json", "layers", to=["5"]), r"run.json: layers\[0\] is '5'"),
    *(Case(19, f"{what} changed", edited(name, *place, to=to), f"{name}: .*{said}")
      for what, name, place, to, said in (
          ("rank", BASIC, ("global", "rankme"), "12", "global.rankme is '12'; expected a number"),
          ("huge", BASIC, ("global", "rankme"), 1e200, r"global.rankme is 1e\+200; expected"),
          ("ceiling", BASIC, ("categories", "plain", "rank_ceiling"), "x",
           "categories.plain.rank_ceiling is 'x'; expected an integer from 0"),
          ("rows", BASIC, ("segments", "thought", "num_rows"), 10**400, "num_rows is 1000"),
          ("diagnostics", BASIC, ("global", "diagnostics"), -1, "global.diagnostics is -1"),
          ("convention", BASIC, ("convention", "centered"), 1, "convention.centered is 1; expect"),
          ("head", BASIC, ("left_out",), ..., "left_out is not there"),
          ("bins", DEPTH, ("bins",), [], "bins is an array of 0; expected an array of 2"),
          ("point", SWEEP, ("curves", "plain", 0, "mean", "rankme"), {},
           r"curves.plain\[0\].mean.rankme is an object with 0 fields; expected a number"),
          ("repeats", SWEEP, ("repeats",), 0, "repeats is 0; expected an integer from 1"),
          ("route", ROUTES, ("global", "cov_centered", "alpha_req"), [], "alpha_req is an array"),
          ("status", ROUTES, ("global", "svd_centered", "status"), {"a": 1}, "status is an object"),
          ("eigenvalue", ROUTES, ("categories", "plain", "cov_centered", "values"), [1e99],
           "at most total_var"),
          ("layer", ROUTES, ("layer",), 4, "layer is 4, and 5 in basic_metrics.json"),
      )),
]  # fmt: skip


@pytest.mark.parametrize("case", RESULTS, ids=str)
def test_results_are_refused(results: Path, case: Case) -> None:
    edit(results / "run.json", lambda run: run.update(warnings=["one"]))
    if "global.rankme" in case.text:
        edited(BASIC, "global", "rankme", to=1.5)(results)
    case.spoil(results)
    before = standing(results.parent)
    assert_refused(call("table", results, "-o", "table.csv"), case.text)
    assert standing(results.parent) == before


def test_a_report_of_spoiled_results_is_not_written(results: Path) -> None:
    edited(ROUTES, "global", "total_variance", to={"a": 1})(results)
    before = standing(results.parent)
    assert_refused(call("report", results), f"{ROUTES}: global.total_variance is an object with 1")
    assert standing(results.parent) == before


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
def test_a_full_disk_keeps_the_old_table(
    results: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Case 24."""
    Path("table.csv").write_text("old")
    before = standing(results.parent)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if name == "write":
            patch.setattr(os, "open", refuse)
        else:
            patch.setattr(os, name, refuse)
        result = call("table", results, "-o", "table.csv")
    assert_refused(result, "table.csv cannot be written: No space left on device")
    assert standing(results.parent) == before


# ---- places and options -------------------------------------------------------------------------


def test_an_absent_gpu_is_no_silent_cpu(tiny: Path) -> None:
    """Case 23."""
    absent = "tpu" if "gpu" in {device.platform for device in jax.devices()} else "gpu"
    result = call("run", tiny, "--backend", absent)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install " in result.stderr  # a line of its own, to be copied
    assert not Path("spectral_metrics").exists()


@pytest.mark.parametrize(
    ("out", "text"),
    [
        (".", "the output tiny lies in the input .*choose --out so that results"),
        ("tiny", "the output tiny/tiny lies in the input .*tiny"),
        ("tiny/deeper", "lies in the input"),
        ("file", "file.* cannot be written: Not a directory"),
        ("n" * 300, "cannot be written: File name too long"),
        ("/".join(["n" * 200] * 5), None),
    ],
)
def test_an_output_that_cannot_be(tiny: Path, out: str, text: str | None) -> None:
    Path("file").write_text("mine")
    before = standing(tiny.parent)
    if text is None:  # long, and legal
        assert call("run", tiny, "--out", out, "--pools", "all", *SMALL).exit_code == 0
        return
    assert_refused(call("run", tiny, "--out", out, "--pools", "all", *SMALL), text)
    assert standing(tiny.parent) == before


def test_an_input_whose_path_is_too_long(tiny: Path) -> None:
    result = call("run", "/".join(["n" * 200] * 30))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "cannot be read: File name too long" in result.stderr
    assert_refused(call("run", "n" * 300), "cannot be read: File name too long")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("report", ".", "--title", " "), "--title is blank"),
        (("run", "--config", "deep.toml"), "deep.toml is not a TOML file .* nested too deeply"),
        (("run", "--config", "long.toml"), "long.toml is not a TOML file .* integer string"),
        (("run", "--config", "pools.toml"), r"pools is \[\]; expected an array of one item or mo"),
    ],
)
def test_options_that_cannot_be(tiny: Path, args: tuple[str, ...], text: str) -> None:
    Path("deep.toml").write_text("counts = " + "[" * 100_000)
    Path("long.toml").write_text("seed = " + "1" * 5000)
    Path("pools.toml").write_text("pools = []")
    assert_refused(call(*args), text, 2)


def test_an_empty_list_says_what_leaving_it_out_does(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("some.toml").write_text("counts = []\ndrop_dims = []\nbackend = 'abacus'")
    assert_refused(call("run", tiny, "--config", "some.toml"), "backend is 'abacus'", 2)


def test_a_run_json_of_other_states_is_told(results: Path, good: Path) -> None:
    options = ("--config", results / "run.json", "--dry-run")
    said = call("run", good, *options).stderr.splitlines()
    warning = f"Warning: {results}/run.json tells of a run on other hidden states: config.json and "
    assert any(line.startswith(f"{warning}index.json had other SHA-256s") for line in said)


def test_a_map_file_that_breaks_the_parser(tiny: Path) -> None:
    Path("map.toml").write_text("a = " + "[" * 100_000)
    result = call("run", tiny, "--categories", "map.toml")
    assert_refused(result, "map.toml is not a TOML file in UTF-8: its arrays, tables or dotted")


ELSEWHERE = {
    17: "test_artifacts.py::test_rows_across_any_borders",
    22: "test_solver_faults.py::test_a_run_mends_what_a_solver_got_wrong_and_says_so",
    25: "test_bad_inputs_extract.py::test_another_run_is_writing",
}
IN_A_TEST = {7, 15, 16, 18, 20, 21, 23, 24}
"""Cases that need more than a spoiled file: the tests above say which they are."""


def test_every_number_of_the_list_is_here_or_elsewhere() -> None:
    here = {case.number for case in CASES + RESULTS} | IN_A_TEST
    assert here | set(ELSEWHERE) == set(range(1, 26))
    assert not here & set(ELSEWHERE)
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert f"def {name}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")
