"""An extraction from end to end: rows are the model's states, files tell what they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

import spectra
from extract import ExtractConfig, Extraction, run
from extract.decoder.forward import Tap
from extract.inputs import gather
from spectra.artifacts import verify_artifact
from spectra.grouping import Group
from tests.artifact_files import assert_snippet_agrees
from tests.extract_cases import (
    BLOCKS,
    TEMPLATE,
    alone,
    assert_rounded,
    assert_same,
    config_of,
    forward_of,
    one_device,
    prompt_of,
    short_traces,
    stored,
    tokens_of,
    using,
    write_model,
)

TRACES = short_traces(12)
TAPS = (Tap(0), Tap(1), Tap(2), Tap(BLOCKS, final_norm=True))
DIM = 112
"""Enough for a power law to be fitted on ranks 11 to 100."""


@dataclass(frozen=True)
class Made:
    directory: Path
    config: ExtractConfig
    result: Extraction

    @property
    def model(self) -> Path:
        return self.directory / "model"

    @property
    def out(self) -> Path:
        return self.directory / "out"

    def document(self, name: str) -> Any:
        return json.loads((self.out / name).read_text())


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("extract")
    write_model(directory / "model", hidden_size=DIM)
    config = config_of(directory, TRACES, layers="all")
    return Made(directory, config, run(config))


# ---- rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tap", TAPS, ids=str)
def test_rows_are_the_states_of_each_trace_by_itself(made: Made, tap: Tap) -> None:
    for trace, rows in zip(TRACES, stored(made.out, tap.layer), strict=True):
        assert_rounded(rows, alone(made.model, trace, *TAPS)[tap.layer])


def test_batches_differ_by_the_noise_of_float32_before_they_are_stored(made: Made) -> None:
    plan, forward = gather(made.config).plan, forward_of(made.model, TAPS)
    assert plan.totals.batches == 6
    for batch in plan.batches:
        together = forward(plan.token_ids(batch))
        for row, number in enumerate(batch.samples):
            for layer, exact in alone(made.model, TRACES[number], *TAPS).items():
                difference = np.asarray(together[layer][row, : len(exact)]) - exact
                relative = np.linalg.norm(difference, axis=1) / np.linalg.norm(exact, axis=1)
                assert relative.max() <= 1e-5


def test_a_copy_over_two_devices_gives_the_same(made: Made) -> None:
    with using(devices=2):
        run(replace(made.config, out=made.directory / "two", layers=(-1,), tensor_parallel=2))
    device = made.document("../two/config.json")["extraction"]["fingerprint"]["device"]
    assert device["tensor_parallel"] == 2
    pairs = zip(stored(made.directory / "two"), stored(made.out), strict=True)
    for found, expected in pairs:
        assert_same(found, expected)


# ---- the index --------------------------------------------------------------------------------


def test_samples_are_the_traces_in_their_order(made: Made) -> None:
    offset = 0
    for trace, sample in zip(TRACES, made.document("index.json")["samples"], strict=True):
        prompt, response = tokens_of(trace, made.model)
        assert (sample["sample_id"], sample["problem_id"]) == (trace.trace_id, trace.problem_id)
        assert sample["prompt_tokens"] == len(prompt)
        assert sample["num_tokens"] == len(prompt) + len(response)
        assert sample["global_offset"] == offset
        offset += sample["num_tokens"]


def test_step_tokens_spell_the_steps(made: Made) -> None:
    decode = Tokenizer.from_file(str(made.model / "tokenizer.json")).decode
    for trace, sample in zip(TRACES, made.document("index.json")["samples"], strict=True):
        prompt, response = tokens_of(trace, made.model)
        for step, entry in zip(trace.steps, sample["steps"], strict=True):
            tokens = (prompt + response)[entry["token_start"] : entry["token_end"]]
            text = trace.response[step.char_start : step.char_end]
            assert decode(tokens, skip_special_tokens=False).strip() == text.strip()
            assert entry["global_start"] == sample["global_offset"] + entry["token_start"]
            assert entry["global_end"] == sample["global_offset"] + entry["token_end"]
            assert (entry["segment"], entry["category"]) == (step.segment, step.category)
            assert (entry["char_start"], entry["char_end"]) == (step.char_start, step.char_end)


def test_samples_tell_how_well_steps_fit_tokens(made: Made) -> None:
    for trace, sample in zip(TRACES, made.document("index.json")["samples"], strict=True):
        found = sample["alignment"]
        assert found["response_tokens"] == sample["num_tokens"] - sample["prompt_tokens"]
        in_steps = sum(step["token_end"] - step["token_start"] for step in sample["steps"])
        assert found["unassigned_tokens"] == found["response_tokens"] - in_steps > 0
        assert found["empty_steps"] == []
        assert (
            made.result.reports[trace.trace_id].borders_inside_tokens
            == (found["borders_inside_tokens"])
        )


# ---- the artifact -----------------------------------------------------------------------------


def test_the_artifact_verifies(made: Made) -> None:
    report = verify_artifact(made.out)
    assert [layer.nonfinite_rows for layer in report.layers] == [0] * (BLOCKS + 1)
    assert report.num_samples == len(TRACES)
    assert report.warnings == ()


def test_the_published_snippet_runs(made: Made) -> None:
    assert_snippet_agrees(made.out)


def test_spectra_run_measures_it(made: Made, tmp_path: Path) -> None:
    config = spectra.RunConfig(pools=("all",), repeats=1, num_bins=2)
    (found,) = spectra.run(made.out, tmp_path, config)
    record = found.records[BLOCKS, "all"][Group("global")]
    assert record.status == "ok"
    assert record.num_traces == len(TRACES)
    assert record.num_rows == sum(
        entry["token_end"] - entry["token_start"]
        for sample in made.document("index.json")["samples"]
        for entry in sample["steps"]
    )


def test_config_has_the_fields_of_the_layout(made: Made) -> None:
    config, samples = made.document("config.json"), made.document("index.json")["samples"]
    assert {name: config[name] for name in config if name not in {"shards", "layers"}} == {
        "format_version": 1,
        "model": "model",
        "layer": BLOCKS,
        "saved_layers": list(range(BLOCKS + 1)),
        "hidden_dim": DIM,
        "storage_dtype": "bfloat16",
        "num_tokens": sum(sample["num_tokens"] for sample in samples),
        "num_samples": len(TRACES),
        "num_steps": sum(len(trace.steps) for trace in TRACES),
        "num_hidden_layers": BLOCKS,
        "extraction": config["extraction"],
    }
    assert [(entry["index"], entry["final_norm"]) for entry in config["layers"]] == [
        (tap.layer, tap.final_norm) for tap in TAPS
    ]
    assert config["shards"] == config["layers"][-1]["shards"]


def test_config_tells_where_the_states_come_from(made: Made) -> None:
    record = made.document("config.json")["extraction"]
    assert record["plan"]["sha256"] == gather(made.config).plan.sha256
    found = record["fingerprint"]
    weights = (made.model / "model.safetensors").read_bytes()
    header = weights[8 : 8 + int.from_bytes(weights[:8], "little")]
    assert found["weights"] == {
        "source": "directory",
        "repository": None,
        "revision": None,
        "config_sha256": sha256((made.model / "config.json").read_bytes()),
        "files": {
            "model.safetensors": {
                "bytes": len(weights),
                "header_sha256": sha256(header),
                "sampled_sha256": sha256(weights),
            }
        },
        "tokenizer_sha256": sha256((made.model / "tokenizer.json").read_bytes()),
        "chat_template_sha256": sha256(TEMPLATE.encode()),
    }
    assert (found["compute_dtype"], found["rope_variant"]) == ("float32", "per_layer_type")
    assert found["device"]["platform"] == "cpu"
    assert set(found["versions"]) == {
        "spectra", "jax", "jaxlib", "flax", "numpy", "ml_dtypes", "tokenizers",
    }  # fmt: skip


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_nothing_names_this_machine(made: Made) -> None:
    for name in ("config.json", "index.json"):
        assert str(made.directory) not in (made.out / name).read_text()


# ---- the run ----------------------------------------------------------------------------------


def test_the_result(made: Made) -> None:
    found = made.result
    assert (found.path, found.model, found.layers) == (made.out, "model", (0, 1, 2, 3))
    assert found.totals == gather(made.config).plan.totals
    assert found.computed_tokens == found.totals.tokens
    assert set(found.reports) == {trace.trace_id for trace in TRACES}
    assert found.seconds > 0
    assert found.log is not None


def test_the_log(made: Made) -> None:
    (path,) = made.out.glob("extraction_*.log")
    assert path == made.result.log
    assert re.fullmatch(r"extraction_\d{8}T\d{6}\.\d{6}Z\.log", path.name)
    lines = path.read_text().splitlines()
    told = [re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 (.*)", line) for line in lines]
    texts = [match[1] for match in told if match]
    assert len(texts) == len(lines)
    assert [text.partition(":")[0] for text in texts[:4]] == [
        "command", "options", "fingerprint", "plan",
    ]  # fmt: skip
    assert json.loads(texts[1].removeprefix("options: ")) == {
        **made.config.asdict(),
        "layers": "all",
    }
    assert made.document("config.json")["extraction"]["plan"]["sha256"] in texts[3]
    samples = [text for text in texts if text.startswith("sample ")]
    assert [text.split("'")[1] for text in samples] == [trace.trace_id for trace in TRACES]
    assert re.match(r"computed 1,309 tokens in [\d.]+ s; peak memory [\d,]+ MB", texts[-2])
    assert texts[-1] == "complete"


def test_progress_counts_tokens(made: Made) -> None:
    told: list[tuple[str, int, int]] = []
    run(replace(made.config, out=made.directory / "told"), progress=lambda *now: told.append(now))
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["tokenising", "loading", "computing"]
    total = made.result.totals.tokens
    counts = [(done, whole) for stage, done, whole in told if stage == "computing"]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == ((0, total), (total, total))


def test_a_complete_directory_is_left_as_it_is(made: Made) -> None:
    before = {path: path.stat() for path in made.out.iterdir()}
    again = run(made.config)
    assert {path: path.stat() for path in made.out.iterdir()} == before
    assert (again.log, again.computed_tokens, again.seconds) == (None, 0, 0.0)
    assert (again.totals, again.reports) == (made.result.totals, made.result.reports)


def test_the_same_run_elsewhere_writes_the_same_bytes(made: Made) -> None:
    other = run(replace(made.config, out=made.directory / "other")).path
    for path in made.out.iterdir():
        if path.suffix != ".log":
            assert (other / path.name).read_bytes() == path.read_bytes()


def test_prompts_are_rendered(made: Made) -> None:
    """The hand-made prompt of the helper is what the template makes."""
    samples = gather(made.config).plan.samples
    decode = Tokenizer.from_file(str(made.model / "tokenizer.json")).decode
    for trace, sample in zip(TRACES, samples, strict=True):
        prompt = sample.token_ids[: sample.entry.prompt_tokens].tolist()
        assert decode(prompt, skip_special_tokens=False) == prompt_of(trace)
