"""The command line on terminals: without colour, dumb, narrow and wide."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spectra.cli import app
from tests.cli_runs import COMMANDS, SMALL, write_overlapping
from tests.test_baselines import write as write_labelled
from tests.test_compare import write as write_states
from tests.trace_lines import line, write_lines

ROOT = Path(__file__).parents[1]
COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9\d|10\d)[;m]")
WIDTHS = (60, 80, 200)
METRICS = ("rankme", "rankme_sigma")


def process(*args: object, **environment: str) -> str:
    """What a process of the command line writes into a pipe."""
    command = [sys.executable, "-m", "spectra.cli", *map(str, args)]
    variables = os.environ | {"PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout


def on_terminal(*args: object, **environment: str) -> str:
    """What a process of the command line writes on a terminal, as stdout and as stderr."""
    command = [sys.executable, "-m", "spectra.cli", *map(str, args)]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    variables |= environment
    for name in ("NO_COLOR", "FORCE_COLOR"):
        if name not in environment:
            variables.pop(name, None)
    near, far = pty.openpty()
    with subprocess.Popen(command, stdin=far, stdout=far, stderr=far, env=variables):
        os.close(far)
        written = b""
        while chunk := _read(near):
            written += chunk
    os.close(near)
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that nobody has the other end
        return b""


# ---- colour -------------------------------------------------------------------------------------

WRITERS = {
    "help": ("run", "--help"),
    "an error of the parser": ("run", "--bins", "ten"),
    "tables and progress": (
        *("run", "annotated_traces_reprs", *SMALL),
        *("--pools", "all", "--jackknife", "off", "--no-diagnostics"),
    ),
    "the installer": ("--install-completion", "bash"),
}


@pytest.mark.parametrize("what", WRITERS)
def test_colour(here: Path, what: str) -> None:
    usual = {"HOME": str(here), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    coloured, plain, dumb = (
        on_terminal(*WRITERS[what], **usual, **variables)
        for variables in (
            {"TERM": "xterm-256color"},
            {"TERM": "xterm-256color", "NO_COLOR": "1"},
            {"TERM": "dumb"},
        )
    )
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert "\x1b" not in dumb
    assert dumb.split()


# ---- widths -------------------------------------------------------------------------------------


def at(width: int, *args: object) -> str:
    runner = CliRunner(env={"COLUMNS": str(width), "NO_COLOR": "1"})
    result = runner.invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.stdout


def of_tables(text: str) -> list[str]:
    """The lines of tables, which end in blanks where other lines end in none."""
    return [row for row in text.splitlines() if row.endswith(" ")]


def words_of(text: str) -> set[str]:
    return set(" ".join(of_tables(text)).replace("─", " ").split())


@pytest.mark.parametrize("command", ["run", "compare", "baselines", "info", "traces check"])
def test_tables_fit_and_their_numbers_stay_whole(tiny: Path, command: str) -> None:
    inputs = {
        "run": (tiny, *SMALL),
        "compare": (write_states(Path("a")), write_states(Path("b"), seed=1)),
        "baselines": (write_labelled(Path("c")), "--permutations", 9),
        "info": (tiny,),
        "traces check": (write_lines(Path("t.jsonl"), line(), line(trace_id="b")),),
    }
    found = {width: at(width, *command.split(), *inputs[command]) for width in WIDTHS}
    for width, text in found.items():
        assert of_tables(text)
        assert max(map(len, of_tables(text))) <= width
        assert "…" not in text
    assert words_of(found[60]) == words_of(found[80]) == words_of(found[200])


def test_a_narrow_run_shows_every_number(tiny: Path) -> None:
    text = at(60, "run", tiny, *SMALL)
    basic = json.loads(Path("spectral_metrics/tiny/pool_all/basic_metrics.json").read_text())
    for label, record in (("global", basic["global"]), *basic["categories"].items()):
        rows = [row.split() for row in of_tables(text) if row.strip().startswith(label)]
        cells = {cell for row in rows for cell in row}
        for cell in (*(f"{record[name]:.2f}" for name in METRICS), record["status"]):
            assert cell in cells


def test_a_long_label_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_overlapping(tmp_path / "model", "x" * 38)
    folded, whole = (at(width, "run", source, "--pools", "all", *SMALL) for width in (60, 200))
    assert "x" * 38 in whole
    assert "x" * 38 not in folded
    assert folded.count("x") in {38, 76, 114}


def test_a_pipe_is_120_columns_wide(tmp_path: Path) -> None:
    options = ("--permutations", 9, "--out", tmp_path / "out")
    text = process("baselines", write_labelled(tmp_path / "m"), *options, COLUMNS="")
    heading = next(row for row in of_tables(text) if "rows drawn" in row)
    assert "same covariance" in heading
    assert 80 < len(heading) <= 120


@pytest.mark.parametrize("name", ["", "run", "extract"])
@pytest.mark.parametrize("width", WIDTHS)
def test_help_has_every_flag_whole(name: str, width: int) -> None:
    words = (*name.split(), "--help")
    # What a narrow terminal gets is settled before the command line is read.
    text = process(*words, COLUMNS=str(width)) if width < 80 else at(width, *words)
    assert max(map(len, text.splitlines())) <= width
    shown = set(re.findall(r"--[a-z-]+[a-z]", text))
    for flag in COMMANDS[name].params:
        if flag.param_type_name == "option":
            assert {*flag.opts, *flag.secondary_opts} - {"-q", "-h"} <= shown
