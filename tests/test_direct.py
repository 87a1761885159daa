"""A run without shards gives what a run on the same states in shards gives, pass by pass."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectra
from spectra.artifacts import Artifact, open_artifact, write_artifact
from spectra.backend import select_backend
from spectra.direct import BatchStates, Bytes, DirectPlan, Need, plan_direct, run_direct
from spectra.direct.seats import Seat, Table
from spectra.direct.source import ComputedRows
from spectra.errors import OutputError, UsageError
from spectra.pipeline import ModelRun
from tests.part_cases import CONFIG, DIM, LAYERS, traces, unlike, write
from tests.tolerances import ROUNDING

pytestmark = pytest.mark.usefixtures("quick_compiles")

LENGTHS = [40, 61, 3, 0, 90, 17]
BAD = (55, 101, 102, 160)
NOTHING = Need(Bytes(), Bytes())
PLENTY = 1 << 30
SOME = replace(CONFIG, pools=("all", "mean"))
"""Where pools are treated alike."""

UNSURE = replace(SOME, jackknife="off")
RECORD = {"plan": {"sha256": "0"}, "fingerprint": {"model": "cut"}}


@dataclass
class Stored:
    """The states of an artifact, as if a model computed them: the last traces come first."""

    artifact: Artifact
    asked: list[tuple[list[int], list[int]]] = field(default_factory=list)
    fails: BaseException | None = None

    @property
    def traces(self) -> list[tuple[int, int]]:
        samples = self.artifact.index.samples
        return [(one.global_offset, one.global_offset + one.num_tokens) for one in samples]

    @property
    def batches(self) -> list[list[int]]:
        filled = [number for number, (start, stop) in enumerate(self.traces) if stop > start]
        return [filled[::-1][start : start + 2] for start in range(0, len(filled), 2)]

    def compute(self, batches: Sequence[int], layers: Sequence[int]) -> Iterator[BatchStates]:
        self.asked.append((list(batches), list(layers)))
        for number in batches:
            if self.fails is not None and number == self.batches.index(self.batches[-1]):
                raise self.fails
            yield {
                layer: [self.rows(layer, trace) for trace in self.batches[number]]
                for layer in layers
            }

    def rows(self, layer: int, trace: int) -> Any:
        with self.artifact.open_rows(self.artifact.layer(layer)) as reader:
            rows = reader.read(*self.traces[trace])
        rows.flags.writeable = False
        return rows


def planned(
    artifact: Artifact, config: spectra.RunConfig, need: Need = NOTHING, host: int = PLENTY
) -> DirectPlan:
    return plan_direct(artifact, config, select_backend("cpu"), need, host)


def direct(
    src: Path, out: Path, config: spectra.RunConfig, host: int = PLENTY
) -> tuple[ModelRun, Stored]:
    states = Stored(open_artifact(src))
    plan = planned(states.artifact, config, host=host)
    return run_direct(plan, out, config, lambda: states, RECORD), states


def record_of(run: ModelRun) -> Any:
    return json.loads((run.out / "run.json").read_text())


@pytest.fixture(scope="module")
def src(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("states") / "cut", LENGTHS)


@pytest.fixture(scope="module")
def whole(src: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelRun:
    """A run of some pools on shards."""
    (run,) = spectra.run(src, tmp_path_factory.mktemp("whole"), SOME)
    return run


@pytest.fixture(scope="module")
def unsure(src: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelRun, Stored]:
    """A run without shards and without standard errors."""
    return direct(src, tmp_path_factory.mktemp("unsure"), UNSURE)


@pytest.mark.parametrize(
    "options",
    [
        {"pools": CONFIG.pools},
        {"jackknife": "off", "diagnostics": False, "drop_first": 0},
        {"jackknife": "exact", "influences": True},
        {"half_sample": True, "depth": "token"},
        {"convention": "skean2025"},
        {"drop_dims": (1, 4), "sampling": "trace"},
    ],
    ids=str,
)
def test_the_files_are_those_of_a_run_on_shards(
    src: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    config = replace(SOME, **options)
    (whole,) = spectra.run(src, tmp_path / "shards", config)
    run, states = direct(src, tmp_path / "direct", config)
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert (run.warnings, run.undefined) == (whole.warnings, whole.undefined)
    assert run.overlapping_steps == whole.overlapping_steps
    record, other = record_of(run), record_of(whole)
    assert record["outputs"].keys() == other["outputs"].keys()
    assert record["passes"] >= record["planned"]["passes"]
    if not options.keys() - {"pools"}:  # those of sums, and those of standard errors
        assert record["passes"] == 2
    assert all(layers == list(LAYERS) for _, layers in states.asked)


def test_bad_states_are_found(tmp_path: Path) -> None:
    src = write(tmp_path / "cut", LENGTHS, bad=BAD)
    (whole,) = spectra.run(src, tmp_path / "shards", SOME)
    run, _ = direct(src, tmp_path / "direct", SOME)
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert any("token rows hold NaN" in text for text in run.warnings)
    assert run.warnings == whole.warnings


def test_without_standard_errors_one_pass_serves_all_layers(
    unsure: tuple[ModelRun, Stored],
) -> None:
    run, states = unsure
    record = record_of(run)
    assert record["passes"] == 1
    computed = [batch for batches, _ in states.asked for batch in batches]
    assert sorted(computed) == list(range(len(states.batches)))


def test_unresolved_groups_share_one_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    samples = traces(rng, LENGTHS)
    rows = rng.standard_normal((sum(LENGTHS), DIM)) * 10.0 ** -(2 * np.arange(DIM))
    layers = {layer: (rows * layer).astype(np.float32) for layer in LAYERS}
    src = write_artifact(
        tmp_path / "thin", model="m", layers=layers, samples=samples, final_norm=None
    )
    config = replace(CONFIG, pools=("all", "first"))
    (whole,) = spectra.run(src, tmp_path / "shards", config)
    run, _ = direct(src, tmp_path / "direct", config)
    record = record_of(run)
    assert record["methods"]["svd"] > 10
    assert record["methods"] == record_of(whole)["methods"]
    assert record["repairs"] == record_of(whole)["repairs"]
    assert record["passes"] == 3
    assert unlike(whole.out, run.out, ROUNDING.relative) == []


def test_where_memory_is_short_layers_take_turns(
    src: Path, whole: ModelRun, tmp_path: Path
) -> None:
    artifact = open_artifact(src)
    both = planned(artifact, SOME)
    assert both.lots == (range(2),)
    host = both.memory.host - 1
    plan = planned(artifact, SOME, host=host)
    assert plan.lots == (range(1), range(1, 2))
    assert plan.memory.host <= host
    assert plan.passes.total == 2 * both.passes.total
    run, states = direct(src, tmp_path / "direct", SOME, host)
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert {tuple(layers) for _, layers in states.asked} == {(layer,) for layer in LAYERS}


def test_where_it_is_shorter_categories_do_too(src: Path, tmp_path: Path) -> None:
    config = replace(SOME, counts=(4,))
    (whole,) = spectra.run(src, tmp_path / "shards", config)
    artifact = open_artifact(src)
    host = planned(artifact, replace(config, layers=(1,))).memory.host - 1
    plan = planned(artifact, config, host=host)
    assert plan.passes.filling > len(plan.lots) == len(LAYERS)
    run, _ = direct(src, tmp_path / "direct", config, host)
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert record_of(run)["passes"] == plan.passes.total


def test_what_does_not_fit_is_refused(src: Path) -> None:
    need = Need(Bytes(10_000_000), Bytes(5_000_000))
    with pytest.raises(UsageError, match=r"needs 15 MB for the model and .* --max-memory"):
        planned(open_artifact(src), CONFIG, need, host=15_000_100)


@pytest.mark.parametrize(
    "options", [{"nonfinite": "drop"}, {"nonfinite": "error"}, {"drop_norms": 3.0}]
)
def test_what_needs_all_states_first_is_refused(src: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="without shards does not go with"):
        planned(open_artifact(src), replace(CONFIG, **options))


def test_the_record_says_where_states_came_from(unsure: tuple[ModelRun, Stored]) -> None:
    run, _ = unsure
    record = record_of(run)
    assert record["input"] == {"directory": None, "hub": None, "files": {}, "extraction": RECORD}
    assert record["planned"]["bytes"]["total"] == record["planned_bytes"]
    assert len(spectra.load(run.out.parent)) == 1


def test_rows_are_read_by_computing_their_traces(src: Path) -> None:
    artifact = open_artifact(src)
    states = Stored(artifact)

    def read(seat: Seat) -> Any:
        layer = artifact.layer(seat.layer)
        rows = ComputedRows(artifact, layer, (2,), seat)
        with rows, artifact.open_rows(layer, (2,)) as reader:
            assert rows.num_rows == reader.num_rows
            out = np.empty((80, DIM - 1), rows.dtype)
            for span in ((0, 5), (38, 110), (103, 104), (7, 7)):
                np.testing.assert_array_equal(rows.read(*span), reader.read(*span))
                np.testing.assert_array_equal(rows.read(*span, out=out), reader.read(*span))
            with pytest.raises(IndexError):
                rows.read(0, rows.num_rows + 1)
        return seat.layer

    assert Table(states, lambda *_: None).serve(LAYERS, read) == list(LAYERS)
    needed = {tuple(batches) for batches, _ in states.asked}
    assert needed == {(2,), (0, 1, 2), (1,)}


def test_a_layer_that_fails_stops_the_others(src: Path) -> None:
    artifact = open_artifact(src)
    traces = np.ones(len(LENGTHS), bool)
    before = threading.active_count()

    def task(seat: Seat) -> None:
        for _ in seat.pieces(traces):
            if seat.layer == LAYERS[1]:
                raise ArithmeticError("of layer 3")

    with pytest.raises(ArithmeticError, match="of layer 3"):
        Table(Stored(artifact), lambda *_: None).serve(LAYERS, task)
    _settle(before)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutputError("the model failed")])
def test_what_stops_the_model_leaves_nothing(
    src: Path, tmp_path: Path, error: BaseException
) -> None:
    artifact = open_artifact(src)
    before = threading.active_count()
    out = tmp_path / "out"
    with pytest.raises(type(error)):
        run_direct(
            planned(artifact, CONFIG), out, CONFIG, lambda: Stored(artifact, fails=error), RECORD
        )
    assert not out.exists()
    _settle(before)


def _settle(threads: int) -> None:
    """Threads that were told to end do."""
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("layer"):
            thread.join(10)
    assert threading.active_count() <= threads
