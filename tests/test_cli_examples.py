"""Every command's help has an example, and the example works as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import extract.bundled
from extract import write_traces
from tests.cli_runs import COMMANDS, SMALL, call, plain
from tests.extract_cases import one_device, short_traces, write_model
from tests.test_compare import write as write_states
from tests.trace_sources import anchors

MODEL = "Qwen/Qwen3-4B-Thinking-2507"
"""A name of the hub, and a directory here: what exists on this machine comes first."""

CUT = "cut_metrics"
"""Where the parts of a run are."""


def examples_of(command: Any) -> list[str]:
    _, _, text = (command.epilog or "").partition("Example:\n\n")
    found = [str(line) for line in re.findall(r"^  (spectra .+)$", text, re.MULTILINE)]
    assert found
    return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with everything that examples read, in a small size."""
    path = tmp_path_factory.mktemp("examples")
    write_states(path / "annotated_traces_reprs" / "qwen3-4b-thinking-2507")
    for seed, name in enumerate(("olmo-sft", "olmo-dpo")):
        write_states(path / "states" / name, seed=seed)
    anchors(path / "math_rollouts" / "problem_1")
    write_traces(path / "traces.jsonl.xz", short_traces(2))
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    write_model(path / MODEL, case="qwen3-v4", num_hidden_layers=20, **heads)
    metrics = path / "spectral_metrics"
    assert call("run", path / "annotated_traces_reprs", "--out", metrics, *SMALL).exit_code == 0
    shutil.copytree(metrics, path / "other_metrics")
    for part in ("0/2", "1/2"):
        cut = ("--out", path / CUT, "--part", part, *SMALL)
        assert call("run", path / "annotated_traces_reprs", *cut).exit_code == 0
    with one_device():
        yield path


@pytest.fixture
def here(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working directory; the demo's model is the one there."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extract.bundled, "bundled_model", lambda: tmp_path / MODEL)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "example"),
    [(name, example) for name, command in COMMANDS.items() for example in examples_of(command)],
)
def test_the_example_works(here: Path, name: str, example: str) -> None:
    words = shlex.split(example)
    assert " ".join(words[1:]).startswith(name)
    made = [here / out for flag, out in pairwise(words) if flag == "--out"]
    for out in made:
        if out.name == CUT:  # it holds what the example reads
            continue
        shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
    result = call(*words[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert all(out.exists() for out in made)
    assert name != "merge" or list(here.glob(f"{CUT}/*/run.json"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_the_example(name: str) -> None:
    result = call(*name.split(), "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = plain(result.stdout)
    assert all(example in shown for example in examples_of(COMMANDS[name]))
