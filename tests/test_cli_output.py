"""The command line: what it prints, where, and what it keeps off the terminal."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spectra.cli._progress import progress
from spectra.cli._text import duration_text, size_text
from spectra.printable import printable, shortened
from tests.artifact_files import SHARDS
from tests.cli_runs import SMALL, call, files_under, plain, write_overlapping
from tests.test_compare import write as write_traces

# ---- what is printed ----------------------------------------------------------------------------


def test_summary(tiny: Path) -> None:
    result = call("run", tiny, *SMALL)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["tiny,", "layer", "5,", "pool", "all"]
    assert lines[2] == ["group", "rows", "rankme", "rankme_sigma", "alpha", "ceiling", "status"]
    labels = [line[0] for line in lines[4:] if len(line) >= 7]
    assert labels[:6] == ["global", "thought", "solution", "Deduction", "Final", "unlabelled"]
    table = json.loads(Path("spectral_metrics/tiny/pool_all/basic_metrics.json").read_text())
    rankme = table["global"]["rankme"]
    assert lines[4] == ["global", "23", f"{rankme:.2f}", *lines[4][3:4], "–", "8", "short_spectrum"]
    assert "Results: spectral_metrics/tiny/ (4 metric files for each of 4 pools" in result.stdout
    assert result.stderr == ""


def test_groups_are_beside_one_another_at_one_count(tmp_path: Path) -> None:
    src = write_traces(tmp_path / "m")
    result = call("run", src, "--out", tmp_path / "out", *SMALL)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[2][6:] == ["rankme", "(at", "rows)", "status"]
    basic = json.loads((tmp_path / "out/m/pool_all/basic_metrics.json").read_text())
    (recall,) = (line for line in lines if line and line[0] == "Recall")
    block = basic["matched"]["categories"]
    (own,) = (one for one in block["groups"] if one["category"] == "Recall")
    assert recall[6:8] == [f"{own['mean']['rankme']:.2f}", f"({block['count']})"]


def test_all_layers_are_summarised(tiny: Path) -> None:
    result = call("run", tiny, "--layers", "all", "--pools", "last,first", *SMALL)
    assert "tiny, layer 2, pool last" in result.stdout
    assert "tiny, layer 5, pool last" in result.stdout
    assert "each of 2 pools and 2 layers" in result.stdout


def test_run_json_document_holds_the_records(tiny: Path) -> None:
    result = call("run", tiny, "--json", *SMALL)
    assert result.exit_code == 0
    (model,) = json.loads(result.stdout)["models"]
    assert (model["model"], model["out"]) == ("tiny", "spectral_metrics/tiny")
    kinds = [record["group_kind"] for record in model["records"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "global": 4,
        "segment": 8,
        "category": 12,
    }
    table = json.loads(Path("spectral_metrics/tiny/pool_all/basic_metrics.json").read_text())
    first = model["records"][0]
    assert {name: first[name] for name in table["global"]} == table["global"]
    assert (first["layer"], first["pool"], first["segment"]) == (5, "all", None)


def test_profile(here: Path) -> None:
    result = call("run", "--profile", *SMALL)
    assert result.exit_code == 0
    assert "tiny: where the time went" in result.stdout
    for line in ("read, multiply, solve", "  pool", "  multiply", "statistics", "write"):
        assert line in result.stdout
    document = json.loads(call("run", "--profile", "--json", *SMALL).stdout)
    assert set(document["models"][0]["profile"]) == {"stages", "work", "solvers"}
    assert json.loads(call("run", "--json", *SMALL).stdout)["models"][0]["profile"] is None


def test_info(tiny: Path) -> None:
    result = call("info", tiny)
    assert result.exit_code == 0
    for text in (
        "30 tokens in 2 traces; 4 steps with 23 tokens",
        "8 dimensions, bfloat16",
        "layer 5 (primary): 2 shards",
        "Deduction",
        "estimated from the plan's operations over rates timed just now",
    ):
        assert text in result.stdout
    assert result.stderr == ""


def test_info_json(tiny: Path) -> None:
    (model,) = json.loads(call("info", tiny, "--json").stdout)["models"]
    assert (model["samples"], model["steps"], model["tokens"], model["step_tokens"]) == (
        2,
        4,
        30,
        23,
    )
    assert model["segments"] == [
        {"segment": "thought", "traces": 2, "steps": 3, "tokens": 18},
        {"segment": "solution", "traces": 1, "steps": 1, "tokens": 5},
    ]
    assert model["categories"] == [
        {"category": None, "traces": 1, "steps": 1, "tokens": 11},
        {"category": "Deduction", "traces": 2, "steps": 2, "tokens": 7},
        {"category": "Final Answer", "traces": 1, "steps": 1, "tokens": 5},
    ]
    assert [(layer["index"], layer["primary"]) for layer in model["layers"]] == [
        (2, False),
        (5, True),
    ]
    assert model["estimate"]["seconds"] > 0
    assert model["estimate"]["planned_bytes"]["host"] > 0


def test_verify(tiny: Path) -> None:
    result = call("verify", tiny)
    assert result.exit_code == 0
    assert "layer 5: 30 rows, 0 of them with NaN or infinity" in result.stdout
    assert f"{tiny}: sound; 6 files" in result.stdout
    listed = re.findall(r"^[0-9a-f]{64}  (.*)$", result.stdout, re.MULTILINE)
    assert {Path(name).name for name in listed} == files_under(tiny)
    assert call("verify", tiny, "-q").output == ""


def test_verify_json(tiny: Path) -> None:
    (model,) = json.loads(call("verify", tiny, "--json").stdout)["models"]
    assert model["path"] == str(tiny)
    assert {file["name"] for file in model["files"]} == files_under(tiny)
    assert [layer["nonfinite_rows"] for layer in model["layers"]] == [0, 0]


def test_warnings_go_to_stderr_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_overlapping(tmp_path / "model")
    for args in (["run", source, *SMALL], ["run", source, "--json", *SMALL], ["info", source]):
        result = call(*args)
        assert result.stderr.count("steps that overlap an earlier step") == 1
        assert result.stderr.startswith("Warning: ")


def test_labels_cannot_steer_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_overlapping(tmp_path / "model", "\x1b[31m[bold]red\u202e\ud800")
    for command in (["run", source, *SMALL], ["info", source]):
        result = call(*command)
        assert result.exit_code == 0
        assert "\\x1b[31m[bold]red\\u202e\\ud800" in result.stdout
        assert "\x1b" not in result.output


def test_quiet(tiny: Path) -> None:
    result = call("run", tiny, "-q", *SMALL)
    assert (result.exit_code, result.output) == (0, "")
    assert Path("spectral_metrics/tiny/run.json").exists()


# ---- --dry-run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [[], ["--layers", "all"]])
def test_dry_run_writes_nothing_and_tells_what_a_run_writes(here: Path, layers: list[str]) -> None:
    before = files_under(here)
    result = call("run", "--dry-run", "--json", *layers, *SMALL)
    assert result.exit_code == 0
    assert files_under(here) == before
    document = json.loads(result.stdout)
    (model,) = document["models"]
    assert document["options"]["repeats"] == 1
    assert model["estimated_seconds"] > 0
    assert model["planned_bytes"]["host"] > 0
    assert model["planned_bytes"]["device"] == 0
    names = [read["file"] for read in model["reads"]]
    assert names[:2] == ["config.json", "index.json"]
    assert len(names) == (6 if layers else 4)
    call("run", *layers, *SMALL)
    assert set(model["writes"]) == files_under(Path(model["out"]))


@pytest.mark.usefixtures("here")
def test_dry_run_for_people() -> None:
    result = call("run", "--dry-run")
    assert "Dry run of tiny: nothing is written." in result.stdout
    assert f"    {SHARDS[1]}\n" in result.stdout
    assert "    pool_last/svd_vs_covariance.json\n" in result.stdout
    assert "  memory  " in result.stdout
    assert "  time    about " in result.stdout
    assert not Path("spectral_metrics").exists()


# ---- a process of its own -----------------------------------------------------------------------


def test_as_a_process(tiny: Path) -> None:
    """stdout is the result and stderr empty where it is no terminal, even if colour is forced."""
    environment = os.environ | {"FORCE_COLOR": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "spectra.cli", "run", str(tiny), "--json", *SMALL]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert json.loads(done.stdout)["models"][0]["model"] == "tiny"
    assert done.stderr == b""


def test_labels_print_where_the_encoding_lacks_them(tmp_path: Path) -> None:
    source = write_overlapping(tmp_path / "model", "σ")
    environment = os.environ | {
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "spectra.cli", "info", str(source)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert rb"\u03c3" in done.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [None, "1"])
def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: str | None) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color is None:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", no_color)
    with progress() as tell:
        tell("reading [3]", 1, 2)
    written = terminal.getvalue()
    assert "reading [3]" in written
    assert "50%" in written
    coloured = re.search(r"\x1b\[(?:[\d;]*;)?3[0-8]", written)
    assert (coloured is None) == (no_color is not None)


def test_progress_shows_a_rate_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    clock = [0.0]
    monkeypatch.setattr("rich.console.monotonic", lambda: clock[0])
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(unit="tokens") as tell:
        tell("tokenising", 3, 0)
        for second in range(5):
            clock[0] = 10.0 + second
            tell("computing", 2500 * second, 20000)
    lines = re.split(r"[\r\n]+", plain(re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", terminal.getvalue())))
    assert any("tokenising" in line and "– tokens/s" in line for line in lines)
    last = [line for line in lines if "computing" in line][-1]
    assert re.search(r"computing .* 50% 0:00:04 2,500 tokens/s 0:00:04", last)


def test_progress_has_no_rate_without_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress() as tell:
        tell("reading", 1, 2)
    assert "/s" not in terminal.getvalue()


def test_no_progress_elsewhere_or_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, quiet in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress(quiet) as tell:
            tell("reading", 1, 2)
        assert stream.getvalue() == ""


# ---- text ---------------------------------------------------------------------------------------


def test_printable() -> None:
    assert printable("plain σ 你") == "plain σ 你"
    assert printable("a\nb\t\x1b\x7f\u2066\ud800") == "a\\nb\\t\\x1b\\x7f\\u2066\\ud800"
    assert shortened("x" * 50, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (34_781_000, "34.8 MB"), (82e9, "82 GB")],
)
def test_size_text(size: float, text: str) -> None:
    assert size_text(int(size)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_duration_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
