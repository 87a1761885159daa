"""`spectra extract --spectra`: metric files with and without shards are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import extract
import spectra
from extract import ExtractConfig
from extract.spectral import measure, plan_measurement, results_name
from spectra.artifacts import open_artifact
from tests.cli_runs import SMALL, call, files_under
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.part_cases import unlike
from tests.shared_data import smollm2
from tests.tolerances import ROUNDING

TRACES = short_traces(12)
LAYERS = (1, 2, -1)

RUN = spectra.RunConfig(backend="cpu", layers="all", num_bins=2, counts=(16, 64), repeats=2)
FLAGS = ("--model", "model", "--layers", "1,-1", "--backend", "cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExtractConfig:
    directory = tmp_path_factory.mktemp("spectral")
    write_model(directory / "model", hidden_size=24)
    return config_of(directory, TRACES, layers=LAYERS)


@pytest.fixture
def here(config: ExtractConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the model and the traces."""
    monkeypatch.chdir(config.out.parent)
    return config.out.parent


def record_of(run: spectra.ModelRun) -> Any:
    return json.loads((run.out / "run.json").read_text())


@pytest.mark.parametrize("options", [{}, {"only_step_tokens": True, "limit": 9}], ids=str)
def test_the_files_are_those_of_the_shards(
    config: ExtractConfig, tmp_path: Path, options: dict[str, Any]
) -> None:
    config = replace(config, out=tmp_path / "states" / "a", **options)
    extract.run(config)
    (whole,) = spectra.run(config.out, tmp_path / "shards", RUN)
    run = measure(replace(config, out=tmp_path / "direct"), RUN)
    assert run.out == tmp_path / "direct" / "model"
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert files_under(whole.out) == files_under(run.out)
    assert (run.model, run.warnings) == (whole.model, whole.warnings)
    record, other = record_of(run), record_of(whole)
    assert record["options"] == other["options"]
    assert record["layers"] == other["layers"]
    artifact = open_artifact(config.out).config
    assert record["input"]["extraction"] == artifact.extra["extraction"]
    assert record["planned"]["passes"] <= record["passes"] <= 4


def test_the_plan_divides_layers_where_memory_is_short(config: ExtractConfig) -> None:
    whole = plan_measurement(config, RUN).plan
    assert whole.lots == (range(3),)
    short = plan_measurement(replace(config, max_memory=whole.memory.host - 1), RUN).plan
    assert len(short.lots) > 1
    assert short.memory.host < whole.memory.host


@pytest.mark.parametrize(
    ("model", "name"), [("Qwen/Qwen3-0.6B", "Qwen3-0.6B"), ("a/..", "model"), ("", "model")]
)
def test_results_are_called_as_the_model(model: str, name: str) -> None:
    assert results_name(model) == name


# ---- the command line -------------------------------------------------------------------------


def test_the_command_measures_with_and_without_shards(here: Path) -> None:
    out = ("--out", "reprs/model", "--spectra", "with")
    done = call("extract", "traces.jsonl", *FLAGS, *out, *SMALL, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["extraction"]["path"] == "reprs/model"
    assert [model["model"] for model in told["models"]] == ["model"]
    flags = (*FLAGS, "--spectra", "without", "--no-shards", *SMALL)
    done = call("extract", "traces.jsonl", *flags)
    assert done.exit_code == 0, done.output
    assert "Results: without/model/" in done.stdout
    assert unlike(here / "with/model", here / "without/model", ROUNDING.relative) == []
    record = json.loads((here / "without/model/run.json").read_text())
    assert record["options"]["counts"] == {"value": [4], "source": "given"}
    assert record["options"]["layers"]["value"] == "all"
    page = call("table", "without", "-o", "table.csv")
    assert page.exit_code == 0, page.output


def test_a_dry_run_tells_passes_and_memory(here: Path) -> None:
    before = files_under(here)
    flags = (*FLAGS, "--spectra", "dry", "--no-shards", "--dry-run")
    done = call("extract", "traces.jsonl", *flags)
    assert done.exit_code == 0, done.output
    assert "passes  2 of the model at least: 1 to collect" in done.stdout
    assert re.search(r"memory  [\d.]+ MB: .* for rows and moments", done.stdout)
    told = json.loads(call("extract", "traces.jsonl", *flags, "--json").stdout)
    assert told["passes"] == {"filling": 1, "weighing": 1, "looking": 0, "at_least": 2}
    parts = told["planned_bytes"]
    total = sum(parts[part]["host"] for part in ("model", "states", "collected"))
    assert parts["total"]["host"] == total == told["memory_bytes"]
    both = ("traces.jsonl", *FLAGS, "--out", "o", "--spectra", "dry", "--dry-run")
    assert "then    all layers measured, to dry/" in call("extract", *both).stdout
    assert json.loads(call("extract", *both, "--json").stdout)["spectra"] == "dry"
    assert files_under(here) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--out is missing"),
        (("--no-shards",), "--no-shards goes with --spectra"),
        (("--out", "o", "--pools", "all"), "--pools goes with --spectra"),
        (("--spectra", "m", "--no-shards", "--out", "o"), "--out does not go with --no-shards"),
        (("--spectra", "m", "--no-shards", "--fresh"), "--fresh does not go with --no-shards"),
        (
            ("--spectra", "m", "--no-shards", "--push-layout"),
            "--push-layout does not go with --no-shards",
        ),
        (("--spectra", "m", "--no-shards", "--nonfinite", "drop"), "without shards does not go"),
        (("--spectra", "m", "--no-shards", "--drop-norms", "3"), "without shards does not go"),
        (("--spectra", "m", "--no-shards", "--max-memory", "2M"), "MB for the model and"),
        (("--spectra", "m", "--out", "o", "--devices", "99"), "devices is 99"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(
    here: Path, flags: tuple[str, ...], message: str
) -> None:
    before = files_under(here)
    done = call("extract", "traces.jsonl", *FLAGS, *flags)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert files_under(here) == before


# ---- a real model -----------------------------------------------------------------------------


def begun(trace: extract.Trace, steps: int) -> extract.Trace:
    """Its first steps: a real model takes its time over every token."""
    kept = trace.steps[:steps]
    return replace(trace, response=trace.response[: kept[-1].char_end], steps=kept)


def test_a_real_model_gives_the_same(tmp_path: Path) -> None:
    traces = [
        begun(one, steps) for one, steps in zip(extract.sample_traces(2), (5, 3), strict=True)
    ]
    extract.write_traces(tmp_path / "traces.jsonl", traces)
    config = ExtractConfig(
        traces=tmp_path / "traces.jsonl",
        model=str(smollm2()),
        out=tmp_path / "states",
        layers=(15, -1),
        backend="cpu",
    )
    extract.run(config)
    options = replace(RUN, pools=("all", "mean"))
    (whole,) = spectra.run(config.out, tmp_path / "shards", options)
    run = measure(replace(config, out=tmp_path / "direct"), options)
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert record_of(run)["passes"] <= 4
