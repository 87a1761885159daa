"""Shell completion: commands, flags and the values of closed sets, without the heavy imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from extract import config as extract_config
from extract.traces.adapters import LAYOUTS
from spectra.backend import BACKENDS, PRECISIONS
from spectra.categories import PRESETS as CATEGORY_MAPS
from spectra.cli import app
from spectra.engine.config import Jackknife, NonFinite
from spectra.grouping import DepthMode
from spectra.pooling import POOLS
from spectra.sampling import Sampling
from spectra.statistics import PRESETS
from tests.cli_runs import COMMANDS

ROOT = Path(__file__).parents[1]


def completed(line: str) -> list[str]:
    """What bash is offered for the last word of the line."""
    words = line.split(" ")
    asked = {"_SPECTRA_COMPLETE": "complete_bash", "COMP_WORDS": line}
    return CliRunner(env={**asked, "COMP_CWORD": str(len(words) - 1)}).invoke(app).stdout.split()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("run --pools ", POOLS),
        ("run --depth ", get_args(DepthMode)),
        ("run --convention ", PRESETS),
        ("run --categories ", CATEGORY_MAPS),
        ("run --sampling ", get_args(Sampling)),
        ("run --jackknife ", get_args(Jackknife)),
        ("run --nonfinite ", get_args(NonFinite)),
        ("run --backend ", BACKENDS),
        ("compare --precision ", PRECISIONS),
        ("extract --final-norm ", extract_config.FINAL_NORMS),
        ("extract --compute-dtype ", extract_config.COMPUTE_DTYPES),
        ("extract --rope-variant ", extract_config.ROPE_VARIANTS),
        ("traces convert --from ", LAYOUTS),
    ],
)
def test_values_of_closed_sets(line: str, values: object) -> None:
    assert completed(f"spectra {line}") == list(values)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("extr", ["extract"]),
        ("traces c", ["check", "convert"]),
        ("run --max-m", ["--max-memory"]),
        ("run --pools all,m", ["all,mean"]),
        ("run --pools all,", ["all,mean", "all,first", "all,last"]),
        ("run --jackknife ex", ["exact"]),
        ("run --config ", []),  # bash goes on to files
    ],
)
def test_words_begun(line: str, values: list[str]) -> None:
    assert completed(f"spectra {line}") == values


@pytest.mark.parametrize("name", COMMANDS)
def test_what_help_spells_with_bars_between_a_shell_offers(name: str) -> None:
    for flag in COMMANDS[name].params:
        spelled = flag.metavar or ""
        if "|" in spelled and spelled.islower():
            assert completed(f"spectra {name} {flag.opts[0]} ") == spelled.split("|")


@pytest.mark.parametrize(
    ("shell", "offered"),
    [
        ("zsh", '_arguments \'*: :(("auto"\n"exact"\n"fast"))\'\n'),
        ("fish", "auto\nexact\nfast\n"),
    ],
)
def test_other_shells(shell: str, offered: str) -> None:
    asked = {"_SPECTRA_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    asked |= {"_TYPER_COMPLETE_ARGS": "spectra run --precision "}
    assert CliRunner(env=asked).invoke(app).stdout == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: str) -> None:
    asked = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    result = CliRunner(env={"_SPECTRA_COMPLETE": f"source_{shell}", **asked}).invoke(app)
    assert result.exit_code == 0
    assert f"_SPECTRA_COMPLETE=complete_{shell}" in result.stdout


def test_in_bash(tmp_path: Path) -> None:
    """The script installed, a word begun, Tab pressed."""
    program = tmp_path / "spectra"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spectra.cli "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(_SPECTRA_COMPLETE=source_bash spectra)"\n'
        "COMP_WORDS=(spectra run --sampling t) COMP_CWORD=3\n"
        "_spectra_completion spectra\n"
        'echo "${COMPREPLY[@]}"\n'
        "complete -p spectra\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[0] == "trace"
    assert "-F _spectra_completion spectra" in done.stdout


def test_completing_imports_nothing_heavy() -> None:
    code = (
        "import atexit, sys\nfrom spectra.cli import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\nmain()"
    )
    asked = {"_SPECTRA_COMPLETE": "complete_bash", "COMP_WORDS": "spectra run --pools "}
    environment = os.environ | asked | {"COMP_CWORD": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == list(POOLS)
    loaded = set(done.stderr.split())
    assert "spectra.cli" in loaded
    assert not loaded & {"numpy", "jax", "scipy", "flax", "safetensors", "tokenizers"}
