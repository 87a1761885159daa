"""Processes that share a run give what one process gives, however rows fall to them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectra
from spectra.artifacts import write_artifact
from spectra.distributed import Processes
from spectra.engine import LayerPlan, RunConfig
from spectra.errors import DisagreementError
from spectra.linalg import Spectra, solve
from tests.part_cases import CONFIG, DIM, traces, unlike, write, written
from tests.thread_processes import side_by_side
from tests.tolerances import ROUNDING

pytestmark = pytest.mark.usefixtures("quick_compiles")

LENGTHS = [40, 61, 3, 0, 90, 17]
BAD = (55, 101, 102, 160)
ONE_LAYER = replace(CONFIG, layers=(1,))
QUICK = replace(ONE_LAYER, pools=("all", "mean"), jackknife="off", diagnostics=False)
LOOKS_AGAIN = replace(
    ONE_LAYER, pools=("all", "mean"), jackknife="exact", half_sample=True, influences=True
)


def shared(src: Path, out: Path, count: int, config: RunConfig) -> Path:
    """A run of so many processes, of which the first writes."""

    def work(processes: Processes) -> spectra.ModelRun:
        where = out if processes.rank == 0 else out.with_name(f"{out.name}-of-another")
        (run,) = spectra.run(src, where, config, processes=processes)
        return run

    runs = side_by_side(count, work)
    assert not out.with_name(f"{out.name}-of-another").exists()
    assert all(run.records.keys() == runs[0].records.keys() for run in runs)
    assert all(run.warnings == runs[0].warnings for run in runs)
    return runs[0].out


@pytest.fixture(scope="module")
def src(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("states") / "cut", LENGTHS)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("spoiled") / "cut", LENGTHS, bad=BAD)


@pytest.fixture(scope="module")
def plain(src: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain")
    (run,) = spectra.run(src, out, ONE_LAYER)
    return run.out


@pytest.fixture(scope="module")
def by_two(src: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared(src, tmp_path_factory.mktemp("two") / "out", 2, ONE_LAYER)


@pytest.mark.parametrize("count", [2, 5])
def test_processes_give_what_one_gives(
    src: Path, plain: Path, by_two: Path, tmp_path: Path, count: int
) -> None:
    out = by_two if count == 2 else shared(src, tmp_path / "out", count, ONE_LAYER)
    assert unlike(plain, out, ROUNDING.relative) == []
    record, whole = (json.loads((one / "run.json").read_text()) for one in (out, plain))
    assert record.pop("processes") == count
    assert record.pop("exchanged").keys() == {"bytes", "seconds", "waiting_seconds"}
    assert record.keys() == whole.keys()
    assert record["repairs"] == whole["repairs"]
    assert record["methods"] == whole["methods"]


@pytest.mark.parametrize(
    "config",
    [
        LOOKS_AGAIN,
        replace(LOOKS_AGAIN, convention="skean2025", influences=False),
        replace(ONE_LAYER, nonfinite="drop", drop_norms=2.0, pools=("mean",)),
        replace(QUICK, sampling="trace", counts=(3, 30)),
    ],
    ids=["leaving out", "normalised rows", "left out by their states", "whole traces"],
)
def test_whatever_is_asked_for(spoiled: Path, tmp_path: Path, config: RunConfig) -> None:
    (whole,) = spectra.run(spoiled, tmp_path / "plain", config)
    out = shared(spoiled, tmp_path / "out", 3, config)
    assert unlike(whole.out, out, ROUNDING.relative) == []
    names = {path.name for path in whole.out.iterdir()}
    assert {path.name for path in out.iterdir()} == names


def test_spectra_that_moments_do_not_resolve_are_repaired_once(tmp_path: Path) -> None:
    """By factors of the rows of each process; all know of the repair, and one counts it."""
    rng = np.random.default_rng(3)
    samples = traces(rng, LENGTHS)
    rows = rng.standard_normal((sum(LENGTHS), DIM)) * 10.0 ** (-2 * np.arange(DIM))
    src = write_artifact(
        *(tmp_path / "in/cut",),
        model="cut",
        layers={1: rows.astype(np.float32)},
        samples=samples,
        final_norm=None,
        shard_rows=50,
    )
    (whole,) = spectra.run(src, tmp_path / "plain", QUICK)
    out = shared(src, tmp_path / "out", 3, QUICK)
    assert unlike(whole.out, out, 1e-9) == []
    counted = [json.loads((one / "run.json").read_text()) for one in (whole.out, out)]
    assert counted[0]["repairs"]["rounding"] > 3
    assert counted[0]["repairs"] == counted[1]["repairs"]
    assert counted[0]["methods"] == counted[1]["methods"]
    assert counted[0]["methods"]["svd"] > 3


def test_normalised_rows_are_repaired_where_they_were_normalised(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every set that is solved from moments seems unresolved."""
    config = replace(QUICK, convention="skean2025")

    def unresolved(*arguments: Any, **rest: Any) -> Spectra:
        found = solve(*arguments, **rest)
        return replace(found, fault="rounding") if found.method == "moments" else found

    monkeypatch.setattr("spectra.engine.solve.solve", unresolved)
    (whole,) = spectra.run(src, tmp_path / "plain", config)
    out = shared(src, tmp_path / "out", 3, config)
    assert unlike(whole.out, out, ROUNDING.relative) == []
    counted = [json.loads((one / "run.json").read_text())["repairs"] for one in (whole.out, out)]
    assert counted[0]["rounding"] > 3
    assert counted[0] == counted[1]


def test_more_processes_than_rows(tmp_path: Path) -> None:
    src = write(tmp_path / "cut", [3, 2])
    (whole,) = spectra.run(src, tmp_path / "plain", QUICK)
    out = shared(src, tmp_path / "out", 9, QUICK)
    assert unlike(whole.out, out, ROUNDING.relative) == []


def test_memory_is_planned_for_two_sums(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUICK, counts=(4,))
    whole = shared(src, tmp_path / "whole", 2, config)
    planned = json.loads((whole / "run.json").read_text())["planned_bytes"]["host"]
    out = shared(src, tmp_path / "out", 2, replace(config, max_memory=2 * planned - 2))
    assert json.loads((out / "run.json").read_text())["passes"] > 1
    assert unlike(whole, out, ROUNDING.relative) == []


def test_a_run_again_gives_the_same_bytes(src: Path, by_two: Path, tmp_path: Path) -> None:
    again = shared(src, tmp_path / "out", 2, ONE_LAYER)
    assert written(again.parent) == written(by_two.parent)
    assert written(again.parent)


def test_no_process_reads_rows_of_another(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the single rows of which the median is taken."""
    from spectra.artifacts import RowReader

    read: list[tuple[int, int]] = []
    original = RowReader.read

    def noted(self: RowReader, start: int, stop: int, **rest: object) -> object:
        if stop - start > 1:
            read.append((start, stop))
        return original(self, start, stop, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(RowReader, "read", noted)
    shared(src, tmp_path / "out", 2, replace(ONE_LAYER, pools=("all", "mean")))
    half = sum(LENGTHS) // 2
    assert read
    assert all(stop <= half or start >= half for start, stop in read)


def test_an_error_of_one_is_that_of_all(src: Path, tmp_path: Path) -> None:
    def work(processes: Processes) -> object:
        config = replace(QUICK, seed=processes.rank)
        return spectra.run(src, tmp_path / str(processes.rank), config, processes=processes)

    with pytest.raises(DisagreementError, match="seed"):
        side_by_side(2, work)
    assert not list(tmp_path.iterdir())


def test_least_memory_counts(src: Path, tmp_path: Path) -> None:
    """Processes on machines with unequal memory plan alike."""
    plans: dict[int, tuple[LayerPlan, ...]] = {}

    def work(processes: Processes) -> None:
        from spectra.backend import select_backend
        from spectra.preparation import prepare

        config = replace(QUICK, max_memory=10**6 * (1 + processes.rank))
        prepared = prepare(src, config, select_backend("cpu"), processes=processes)
        plans[processes.rank] = prepared.plans

    side_by_side(2, work)
    assert plans[0][0].limit == plans[1][0].limit
    assert plans[0][0].limit.host == 10**6 // 2
    assert np.array_equal(plans[0][0].dropped, plans[1][0].dropped)
