"""Small extractions for the store's tests: made-up traces, and a model whose states are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from extract.store import (
    Batch,
    Batching,
    Plan,
    SavedLayer,
    Store,
    TokenizedSample,
    join_store,
    make_plan,
    open_store,
)
from spectra.artifacts import Step, open_artifact
from spectra.strict_json import JSON

DIM = 6
LAYERS = (SavedLayer(4, True), SavedLayer(2, False))
FINGERPRINT: dict[str, JSON] = {"weights": {"revision": "abc"}, "compute_dtype": "bfloat16"}
FAKE_MODEL = "fake"


def span(start: int, end: int, category: str | None = None) -> Step:
    """A step whose global range is still to be filled in."""
    return Step(start, end, 0, 0, "thought", category, start, end)


def traces(count: int = 23, seed: int = 0) -> list[TokenizedSample]:
    """Traces of 3 to 60 tokens: a prompt, then steps with gaps, some steps empty."""
    rng = np.random.default_rng(seed)
    result = []
    for number in range(count):
        length = int(rng.integers(3, 61))
        prompt = int(rng.integers(1, length))
        borders = sorted(rng.integers(prompt, length + 1, 6).tolist())
        steps = tuple(span(borders[i], borders[i + 1], f"c{i}") for i in (0, 2, 4))
        tokens = rng.integers(0, 1000, length).astype(np.int32)
        sample_id, problem_id = f"trace-{number}", f"problem-{number // 2}"
        result.append(TokenizedSample(sample_id, problem_id, tokens, prompt, steps, {"n": number}))
    return result


def small_plan(samples: list[TokenizedSample] | None = None, **options: Any) -> Plan:
    """The plan of `samples`: several shards and batches, some batches padded."""
    settings: dict[str, Any] = {
        "layers": LAYERS,
        "hidden_dim": DIM,
        "batching": Batching(max_tokens=128, length_multiple=8, shape_cost=20),
        "shard_rows": 200,
    }
    return make_plan(traces() if samples is None else samples, **(settings | options))


def fake_state(token: int, position: int, layer: int, shape: tuple[int, int]) -> NDArray[Any]:
    """[DIM] bfloat16; like a real one's, its bits depend on the shape of the batch."""
    return np.asarray(_states(np.array([token]), np.array([position]), layer, shape)[0])


def _states(
    tokens: NDArray[Any], positions: NDArray[Any], layer: int, shape: tuple[int, int]
) -> NDArray[Any]:
    seeds = (tokens * 1009 + positions * 31 + layer * 7 + shape[0] * 3 + shape[1]) % 65521
    powers = np.array([pow(17, i + 1, 65521) for i in range(DIM)])
    states = (seeds[:, None] * powers % 65521) / 65521 - 0.5
    return np.asarray(states.astype(ml_dtypes.bfloat16))


def fake_states(plan: Plan, batch: Batch, layer: int) -> NDArray[Any]:
    """[B, T, DIM] bfloat16; NaN in the padding, which must never reach a shard."""
    states = np.full((*batch.shape, DIM), np.nan, ml_dtypes.bfloat16)
    tokens, lengths = plan.token_ids(batch), plan.lengths(batch)
    for row, length in enumerate(lengths):
        row_tokens = tokens[row, :length].astype(np.int64)
        states[row, :length] = _states(row_tokens, np.arange(length), layer, batch.shape)
    return states


def all_states(plan: Plan, batch: Batch) -> dict[int, NDArray[Any]]:
    return {layer.index: fake_states(plan, batch, layer.index) for layer in plan.layers}


def extract(
    directory: Path,
    plan: Plan,
    *,
    fresh: bool = False,
    delay: float = 0.0,
    after: Callable[[Store, int], None] = lambda store, count: None,
) -> Path:
    """One run: what is pending, then the commit; `after` is called after each batch."""
    with open_store(directory, plan, FINGERPRINT, fresh=fresh) as store:
        for count, batch in enumerate(store.pending_batches()):
            time.sleep(delay)
            store.write(batch, all_states(plan, batch))
            after(store, count)
        return store.commit(model=FAKE_MODEL, config_extra={"note": "kept"})


def opened(stack: ExitStack, directory: Path, plan: Plan, count: int) -> list[Store]:
    """The stores of so many processes, each with every so-manieth pending batch."""
    first = stack.enter_context(open_store(directory, plan, FINGERPRINT))
    if first.complete:
        return [first]
    pending = first.pending_batches()
    finished = frozenset(range(len(plan.batches))) - {batch.number for batch in pending}
    stores = [first]
    for rank in range(1, count):
        joined = join_store(directory, plan, FINGERPRINT, finished, rank=rank)
        stores.append(stack.enter_context(joined))
    for rank, store in enumerate(stores):
        assert store.pending_batches() == pending
        store.take(pending[rank::count])
    return stores


def extract_shared(directory: Path, plan: Plan, count: int = 2) -> Path:
    """One run by so many processes: what is pending, then the commit."""
    with ExitStack() as stack:
        stores = opened(stack, directory, plan, count)
        for store in reversed(stores):
            for batch in store.pending_batches():
                store.write(batch, all_states(plan, batch))
            store.settle()
        return stores[0].commit(model=FAKE_MODEL, config_extra={"note": "kept"})


def contents(directory: Path) -> dict[str, bytes]:
    """Every file's name and bytes."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def check_against_model(directory: Path, plan: Plan) -> None:
    """Every kept row is the fake model's state of its token, in the batch the plan says."""
    artifact = open_artifact(directory)
    shapes = {number: batch.shape for batch in plan.batches for number in batch.samples}
    for layer in artifact.config.layers:
        with artifact.open_rows(layer) as rows:
            for number, sample in enumerate(plan.samples):
                row = artifact.index.samples[number].global_offset
                for position in (p for start, end in sample.kept for p in range(start, end)):
                    token = int(sample.token_ids[position])
                    expected = fake_state(token, position, layer.index, shapes[number])
                    assert rows.read(row, row + 1)[0].tobytes() == expected.tobytes()
                    row += 1
