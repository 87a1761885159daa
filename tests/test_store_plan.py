"""The plan: places, kept rows, totals, refusals, and a hash of all that decides the bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.store import Batching, SavedLayer, TokenizedSample
from extract.store.errors import RepeatedLayerError
from spectra import errors
from spectra.artifacts import write_artifact
from tests.artifact_files import rows
from tests.store_cases import DIM, LAYERS, extract, small_plan, span, traces

ROOT = Path(__file__).parent.parent


def tokens(count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.arange(count, dtype=np.int32)


def sample(name: str, count: int, prompt: int, *spans: tuple[int, int]) -> TokenizedSample:
    return TokenizedSample(name, None, tokens(count), prompt, tuple(span(*pair) for pair in spans))


def test_rows_follow_the_traces() -> None:
    plan = small_plan([sample("a", 10, 2, (2, 5)), sample("b", 20, 4, (4, 8), (9, 20))])
    first, second = plan.samples
    assert (first.entry.global_offset, second.entry.global_offset) == (0, 10)
    assert [(s.global_start, s.global_end) for s in second.entry.steps] == [(14, 18), (19, 30)]
    assert second.kept == ((0, 20),)
    assert [layer.index for layer in plan.layers] == [2, 4]


def test_shards_are_cut_as_write_artifact_cuts(tmp_path: Path) -> None:
    plan = small_plan()
    total = plan.totals.rows
    path = write_artifact(
        tmp_path,
        model="m",
        layers={1: rows(total)},
        samples=plan.entries,
        final_norm=None,
        shard_rows=200,
    )
    assert len(list(path.glob("*.safetensors"))) == plan.totals.shards > 1


def test_totals_are_those_of_the_files(tmp_path: Path) -> None:
    plan = small_plan()
    totals = plan.totals
    path = extract(tmp_path / "a", plan)
    shards = list(path.glob("*.safetensors"))
    assert totals.files == len(shards) == totals.shards * len(LAYERS)
    sizes = [file.stat().st_size for file in [*shards, path / "index.json"]]
    assert totals.bytes == sum(sizes)
    assert totals.rows == totals.tokens == sum(len(trace.token_ids) for trace in traces())
    assert totals.padded_tokens == sum(b * t for b, t in (x.shape for x in plan.batches))
    assert totals.shapes == len({batch.shape for batch in plan.batches})
    assert (totals.samples, totals.steps) == (23, 69)


def test_tokens_of_a_batch_are_padded_on_the_right() -> None:
    plan = small_plan([sample("a", 5, 1), sample("b", 7, 1)])
    batch = plan.batches[0]
    assert batch.samples == (1, 0)
    assert plan.token_ids(batch, pad=-1).tolist() == [
        [0, 1, 2, 3, 4, 5, 6, -1],
        [0, 1, 2, 3, 4, -1, -1, -1],
    ]
    assert plan.lengths(batch).tolist() == [7, 5]


def test_a_row_of_padding_has_length_0() -> None:
    samples = [sample(str(number), 8, 1) for number in range(5)]
    plan = small_plan(samples, batching=Batching(24, 8, shape_cost=100))
    assert [plan.lengths(batch).tolist() for batch in plan.batches] == [[8, 8, 8], [8, 8, 0]]
    assert not plan.token_ids(plan.batches[1])[2].any()


# ---- step tokens only -------------------------------------------------------------------------


def test_only_step_tokens_counts_kept_rows() -> None:
    plan = small_plan(
        [sample("a", 20, 3, (4, 6), (6, 8), (10, 10), (12, 15)), sample("b", 9, 3, (5, 9))],
        only_step_tokens=True,
    )
    first, second = plan.samples
    assert first.kept == ((4, 8), (12, 15))
    assert [(s.token_start, s.token_end) for s in first.entry.steps] == [
        (0, 2),
        (2, 4),
        (4, 4),
        (4, 7),
    ]
    assert (first.entry.num_tokens, first.entry.prompt_tokens) == (7, 0)
    assert first.entry.extra == {"source_num_tokens": 20, "source_prompt_tokens": 3}
    assert first.entry.steps[3].extra == {"source_token_start": 12, "source_token_end": 15}
    assert (second.entry.global_offset, second.entry.steps[0].global_start) == (7, 7)
    assert plan.totals.rows == 11


def test_nothing_is_computed_behind_the_last_kept_token() -> None:
    plan = small_plan([sample("a", 20, 3, (4, 6))], only_step_tokens=True)
    assert plan.samples[0].token_ids.tolist() == list(range(6))
    assert plan.batches[0].shape == (1, 8)


def test_a_sample_without_step_tokens_is_in_no_batch() -> None:
    plan = small_plan(
        [sample("a", 20, 3, (4, 4)), sample("b", 9, 3, (5, 9))], only_step_tokens=True
    )
    assert [batch.samples for batch in plan.batches] == [(1,)]
    assert plan.samples[0].entry.num_tokens == 0


@given(
    pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6),
    prompt=st.integers(0, 30),
)
def test_kept_rows_by_enumeration(pairs: list[tuple[int, int]], prompt: int) -> None:
    """Against lists of token numbers, overlapping steps and steps in the prompt included."""
    spans = [(min(pair), max(pair)) for pair in pairs]
    planned = small_plan([sample("a", 30, prompt, *spans)], only_step_tokens=True).samples[0]
    kept = sorted({token for start, end in spans for token in range(start, end)})
    assert [token for start, end in planned.kept for token in range(start, end)] == kept
    assert planned.entry.num_tokens == len(kept)
    assert planned.entry.prompt_tokens == sum(token < prompt for token in kept)
    for step, (start, end) in zip(planned.entry.steps, spans, strict=True):
        assert kept[step.token_start : step.token_end] == list(range(start, end))
        assert step.token_start == sum(token < start for token in kept)


# ---- refusals ---------------------------------------------------------------------------------


def test_a_layer_twice() -> None:
    with pytest.raises(RepeatedLayerError, match=r"Layer 2 is asked for 2 times in \[2, 3, 2\]"):
        small_plan(layers=[SavedLayer(2, True), SavedLayer(3, True), SavedLayer(2, False)])


@pytest.mark.parametrize(
    ("samples", "error", "text"),
    [
        ([sample("a", 5, 1), sample("a", 5, 1)], errors.DuplicateSampleError, "'a'"),
        ([sample("a", 5, 1, (3, 6))], errors.StepRangeError, "sample 'a'"),
        ([sample("a", 5, 6)], errors.FieldValueError, "prompt_tokens is 6"),
    ],
)
@pytest.mark.parametrize("only_step_tokens", [False, True])
def test_what_the_reader_would_refuse(
    samples: list[TokenizedSample],
    error: type[errors.InputError],
    text: str,
    only_step_tokens: bool,
) -> None:
    with pytest.raises(error, match=text):
        small_plan(samples, only_step_tokens=only_step_tokens)


def test_an_unknown_dtype() -> None:
    with pytest.raises(errors.FieldValueError, match="storage_dtype is 'int8'"):
        small_plan(storage_dtype="int8")


# ---- the hash ---------------------------------------------------------------------------------


def changed(**fields: Any) -> list[TokenizedSample]:
    first, *others = traces()
    return [replace(first, **fields), *others]


CHANGES: dict[str, dict[str, Any]] = {
    "token": {"samples": changed(token_ids=traces()[0].token_ids + np.int32(1))},
    "id": {"samples": changed(sample_id="other")},
    "category": {"samples": changed(steps=(span(1, 2, "other"),))},
    "extra": {"samples": changed(extra={"n": 99})},
    "order": {"samples": traces()[::-1]},
    "layers": {"layers": LAYERS[:1]},
    "final_norm": {"layers": (SavedLayer(4, False), SavedLayer(2, False))},
    "dim": {"hidden_dim": DIM + 1},
    "dtype": {"storage_dtype": "float16"},
    "shards": {"shard_rows": 100},
    "batches": {"batching": Batching(max_tokens=64, length_multiple=8, shape_cost=20)},
    "kept": {"only_step_tokens": True},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_decides_the_bytes_changes_the_hash(change: dict[str, Any]) -> None:
    assert small_plan(**change).sha256 != small_plan().sha256


def test_options_that_change_nothing_do_not() -> None:
    batching = Batching(max_tokens=129, length_multiple=8, shape_cost=20)
    assert small_plan(batching=batching).sha256 == small_plan().sha256
    assert small_plan(layers=LAYERS[::-1]).sha256 == small_plan().sha256


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_same_plan_in_every_process(seed: str) -> None:
    script = "from tests.store_cases import small_plan; import sys; sys.exit(small_plan().sha256)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == small_plan().sha256
