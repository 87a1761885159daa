"""What a dry run counts, against a count of one operation at a time; and what it warns of."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from extract import ExtractConfig, TextTokenizer, TraceStep, encode_trace, run
from extract.decoder.errors import MemoryLimitError
from extract.estimate import (
    check_memory,
    estimate,
    memory_bytes,
    operations,
    weight_bytes,
)
from extract.inputs import Inputs, gather
from extract.spread import Spread
from extract.text import AlignmentReport
from extract.tokenizing import alignment_warnings
from tests.decoder_cases import WINDOW
from tests.extract_cases import config_of, one_device, short_traces, write_model

TRACES = short_traces(4)


@pytest.fixture(scope="module", autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExtractConfig:
    directory = tmp_path_factory.mktemp("extract")
    write_model(directory / "model")
    return config_of(directory, TRACES)


def matrices(inputs: Inputs) -> dict[str, int]:
    """The sizes of the blocks' matrices that computing the highest layer multiplies by."""
    tensors = load_file(Path(inputs.config.model) / "model.safetensors")
    return {
        name: tensor.size
        for name, tensor in tensors.items()
        if tensor.ndim == 2
        and name.startswith("model.layers.")
        and int(name.split(".")[2]) < inputs.top
    }


def slow_operations(inputs: Inputs) -> float:
    """A multiplication and an addition at a time: of each weight, each query with each key."""
    spec, total = inputs.spec, 0.0
    for batch in inputs.plan.batches:
        rows, length = batch.shape
        total += 2 * rows * length * sum(matrices(inputs).values())
        for block in range(inputs.top):
            window = spec.kinds[block].window or math.inf
            for query in range(length):
                keys = sum(query - key < window for key in range(query + 1))
                # Products with the keys, then sums of values.
                total += rows * 2 * keys * spec.num_heads * (spec.head_dim + spec.head_dim)
    return total


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
@pytest.mark.parametrize("max_tokens", [None, 32])
def test_operations(config: ExtractConfig, layer: int, max_tokens: int | None) -> None:
    inputs = gather(replace(config, layers=(layer,), max_tokens_per_batch=max_tokens))
    assert inputs.spec.kinds[0].window == WINDOW
    assert operations(inputs) == pytest.approx(slow_operations(inputs), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layer", [0, 2, -1])
def test_weight_bytes(config: ExtractConfig, layer: int, dtype: str) -> None:
    """Embeddings and matrices; norms, which are small, are not counted."""
    inputs = gather(replace(config, layers=(layer,), compute_dtype=dtype))
    table = load_file(Path(config.model) / "model.safetensors")["model.embed_tokens.weight"]
    item = 4 if dtype == "float32" else 2
    assert weight_bytes(inputs) == (table.size + sum(matrices(inputs).values())) * item


def test_memory_grows_with_what_it_holds(config: ExtractConfig) -> None:
    small = gather(replace(config, max_tokens_per_batch=32, layers=(0,)))
    large = gather(replace(config, max_tokens_per_batch=1024, layers=(0,)))
    deep = gather(replace(config, max_tokens_per_batch=1024, layers="all"))
    assert 0 < weight_bytes(small) < memory_bytes(small) < memory_bytes(large) < memory_bytes(deep)
    states = large.plan.totals.padded_tokens * large.spec.hidden_dim * 2
    assert memory_bytes(large) - weight_bytes(large) > states


def test_estimate(config: ExtractConfig) -> None:
    inputs = gather(config)
    found = estimate(inputs)
    assert found.operations == operations(inputs)
    assert found.seconds == found.operations / found.flops_per_second > 0
    assert 1e6 < found.flops_per_second < 1e15
    assert (found.memory_bytes, found.weight_bytes) == (memory_bytes(inputs), weight_bytes(inputs))
    free = shutil.disk_usage(config.traces.parent).free
    assert found.free_bytes == pytest.approx(free, rel=0.05)


def test_the_disk_is_that_of_the_directory_to_be_made(
    config: ExtractConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    usage = shutil.disk_usage

    def spy(path: Path) -> Any:
        asked.append(path)
        return usage(path)

    monkeypatch.setattr(shutil, "disk_usage", spy)
    monkeypatch.chdir(config.traces.parent)
    for out in (config.out / "a" / "b", Path("relative/out")):
        estimate(gather(replace(config, out=out)))
    assert asked == [config.traces.parent] * 2


# ---- warnings ---------------------------------------------------------------------------------


def report(**changes: Any) -> AlignmentReport:
    exact = AlignmentReport(
        response_tokens=9,
        unassigned_tokens=3,
        empty_steps=(1,),
        empty_steps_with_text=(),
        borders_inside_tokens=4,
        step_characters=20,
        characters_in_other_steps=0,
        characters_in_no_step=0,
    )
    return replace(exact, **changes)


def test_usual_reports_are_no_warning() -> None:
    assert list(alignment_warnings({})) == []
    assert list(alignment_warnings({"a": report(), "b": report(dropped_think=True)})) == []


def test_each_kind_of_loss_is_one_warning() -> None:
    reports = {
        "a": report(),
        "b\x1b": report(empty_steps_with_text=(1, 3), characters_in_no_step=1),
        "c": report(empty_steps_with_text=(0,), characters_in_other_steps=1200),
    }
    assert list(alignment_warnings(reports)) == [
        "steps with text but without a token: 3, the first in trace 'b\\x1b'.",
        "characters of steps in tokens of other steps: 1,200, the first in trace 'c'.",
        "characters of steps in tokens of no step: 1, the first in trace 'b\\x1b'.",
    ]


def test_warnings_and_reports_are_those_of_the_traces(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    whole = TRACES[0]
    # "<think>" is one token: the second span begins within it and has no first character.
    spans = (TraceStep(0, 3, "thought", None), TraceStep(3, 7, "thought", None))
    odd = replace(whole, trace_id="odd", steps=spans)
    inputs = gather(config_of(tmp_path, [*TRACES, odd]))
    assert inputs.warnings == (
        "steps with text but without a token: 1, the first in trace 'odd'.",
        "characters of steps in tokens of other steps: 4, the first in trace 'odd'.",
    )
    encoded = encode_trace(odd, TextTokenizer(model / "tokenizer.json"))
    assert inputs.reports["odd"] == encoded.report
    assert np.array_equal(inputs.plan.samples[-1].token_ids, encoded.token_ids)


def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    config: ExtractConfig, tmp_path: Path
) -> None:
    needed = memory_bytes(gather(config))
    enough = replace(config, out=tmp_path / "out", max_memory=needed)
    check_memory(gather(enough))
    little = replace(enough, max_memory=needed - 1)
    with pytest.raises(MemoryLimitError, match=r"weights in float32; --max-memory is .* MB"):
        run(little)
    assert not little.out.exists()
    assert run(enough).computed_tokens > 0


class Accelerator:
    """A device that tells its memory, or does not."""

    platform = "gpu"

    def __init__(self, **told: int) -> None:
        self.told = told

    def memory_stats(self) -> dict[str, int]:
        return self.told


def test_what_is_free_is_what_the_devices_tell(
    config: ExtractConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = gather(config)

    def on(*devices: Accelerator) -> Inputs:
        some: Any = devices
        return replace(inputs, spread=Spread.of(some, 1))

    needed = memory_bytes(on(Accelerator()))
    check_memory(on(Accelerator()))
    check_memory(on(Accelerator(bytes_limit=2 * needed, bytes_in_use=needed)))
    check_memory(on(Accelerator(bytes_limit=needed), Accelerator(bytes_limit=needed)))
    with pytest.raises(MemoryLimitError, match=r"on 2 devices, 1 for a copy .*, a higher --tensor"):
        check_memory(on(Accelerator(bytes_limit=2 * needed), Accelerator(bytes_limit=needed - 1)))
    with pytest.raises(MemoryLimitError, match="free on this gpu"):
        check_memory(on(Accelerator(bytes_limit=2 * needed, bytes_in_use=needed + 1)))
    monkeypatch.setattr("extract.estimate.available_memory", lambda: memory_bytes(inputs) - 1)
    with pytest.raises(MemoryLimitError, match="free on this cpu"):
        check_memory(inputs)
