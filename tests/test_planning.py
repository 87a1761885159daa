"""A plan counts what a run of that size reads, solves, holds, keeps and sends."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import spectra
from spectra.artifacts import RowReader, Sample, Step, write_artifact
from spectra.distributed import Processes
from spectra.engine import RunConfig
from spectra.engine.memory import Limit
from spectra.errors import UsageError
from spectra.jobs import run_part
from spectra.parts import Part
from spectra.planning import Outline, Rates, planned, pool_plans
from tests import docs_run
from tests.cli_runs import call
from tests.imports import ROOT
from tests.thread_processes import ThreadProcess, side_by_side

pytestmark = pytest.mark.usefixtures("quick_compiles")

RATES = Rates(1e9, 1e9, 1e-9, 1e-9, 1e8, 1e8, 1e7)
TRACES, BINS, CATEGORIES, TOKENS = 36, 2, 3, 5
STEPS = 2 * BINS
"""Of a trace: in each bin one of either segment."""

EVEN = Outline(
    tokens=TRACES * STEPS * TOKENS, dim=16, layers=2, categories=CATEGORIES,
    tokens_per_step=TOKENS, traces=TRACES,
)  # fmt: skip
UNDRAWN = RunConfig(
    backend="cpu",
    num_bins=BINS,
    counts=(10**6,),
    matched=False,
    jackknife="off",
    layers="all",
    pools=("all", "mean"),
)
FIRST_ORDER = replace(UNDRAWN, jackknife="first-order")
DRAWN = replace(FIRST_ORDER, counts=(), matched=True, repeats=3)


def write(path: Path, outline: Outline) -> Path:
    """An artifact of that outline: each trace has a category."""
    rng, length = np.random.default_rng(0), STEPS * outline.tokens_per_step
    samples = []
    for trace in range(outline.traces):
        steps, begin = [], trace * length
        for number in range(STEPS):
            low, high = number * outline.tokens_per_step, (number + 1) * outline.tokens_per_step
            name = f"{trace % outline.categories:05d}"
            segment = ("thought", "solution")[number % 2]
            steps.append(Step(low, high, begin + low, begin + high, segment, name))
        samples.append(Sample(f"s{trace}", f"p{trace}", begin, length, 0, tuple(steps)))
    rows = rng.standard_normal((outline.tokens, outline.dim)).astype(ml_dtypes.bfloat16)
    layers = dict.fromkeys(range(outline.layers), rows)
    return write_artifact(path, model="even", layers=layers, samples=samples, final_norm=None)


@pytest.fixture(scope="module")
def src(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("even") / "even", EVEN)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of every read of rows."""
    found: list[int] = []
    whole: Callable[..., NDArray[Any]] = RowReader.read

    def reading(self: RowReader, start: int, stop: int, **rest: Any) -> NDArray[Any]:
        rows = whole(self, start, stop, **rest)
        found.append(rows.nbytes)
        return rows

    monkeypatch.setattr(RowReader, "read", reading)
    return found


@pytest.mark.parametrize("config", [UNDRAWN, FIRST_ORDER], ids=["off", "first-order"])
def test_reads_solves_and_memory_are_a_runs(
    src: Path, tmp_path: Path, read: list[int], config: RunConfig
) -> None:
    config = replace(config, pools=RunConfig().pools)
    made = planned(EVEN, config, RATES)
    (run,) = spectra.run(src, tmp_path, config, profile=True)
    record = json.loads((run.out / "run.json").read_text())
    assert made["reads"]["bytes"] == sum(read)
    assert made["reads"]["passes"] == record["passes"]
    assert run.profile is not None
    solved = sum(one["matrices"] for one in run.profile.solvers.values())
    assert made["solves"]["matrices"] == solved
    assert made["memory"]["planned"] == record["planned_bytes"]


def test_draws_are_all_solved_and_their_rows_about_as_many(src: Path, tmp_path: Path) -> None:
    made = planned(EVEN, DRAWN, RATES)
    (run,) = spectra.run(src, tmp_path, DRAWN, profile=True)
    record = json.loads((run.out / "run.json").read_text())
    assert run.profile is not None
    solved = sum(one["matrices"] for one in run.profile.solvers.values())
    assert made["solves"]["matrices"] == solved
    assert made["memory"]["planned"]["host"] == pytest.approx(
        record["planned_bytes"]["host"], rel=0.02
    )


def test_less_memory_asks_for_as_many_passes(src: Path, tmp_path: Path, read: list[int]) -> None:
    whole = planned(EVEN, FIRST_ORDER, RATES)["memory"]["planned"]["host"]
    config = replace(FIRST_ORDER, max_memory=whole // 2)
    (run,) = spectra.run(src, tmp_path, config)
    made = planned(EVEN, FIRST_ORDER, RATES, Limit(whole // 2))
    record = json.loads((run.out / "run.json").read_text())
    assert record["passes"] > 1
    assert made["reads"]["passes"] == record["passes"]
    assert made["reads"]["bytes"] == sum(read)
    assert made["memory"]["planned"] == record["planned_bytes"]
    with pytest.raises(UsageError, match="need at least"):
        planned(EVEN, FIRST_ORDER, RATES, Limit(whole // 50))


@pytest.mark.parametrize("config", [UNDRAWN, FIRST_ORDER], ids=["off", "first-order"])
def test_parts_are_as_large(src: Path, tmp_path: Path, config: RunConfig) -> None:
    count = 7  # whose borders cut steps, and each of which has rows of every atom
    bodies = 0
    for number in range(count):
        (one,) = run_part(src, tmp_path, Part(number, count), config)
        head = int.from_bytes(one.path.read_bytes()[:8], "little")
        bodies += one.bytes - 8 - head
    outline = replace(EVEN, processes=count, devices=count)
    made = planned(outline, config, RATES)
    assert made["disk"]["parts"] == bodies


class Counted(ThreadProcess):
    """Counts what it sends, by kind."""

    def __init__(self, rank: int, of: ThreadProcess) -> None:
        super().__init__(rank, of._table)
        self.united = self.collected = 0

    def union(self, values: NDArray[Any]) -> NDArray[Any]:
        self.united += values.nbytes
        return super().union(values)

    def collect(self, data: bytes) -> list[bytes]:
        self.collected += len(data)
        return super().collect(data)


@pytest.mark.parametrize("config", [UNDRAWN, FIRST_ORDER], ids=["off", "first-order"])
@pytest.mark.parametrize("count", [2, 3])
def test_processes_send_as_much(src: Path, tmp_path: Path, count: int, config: RunConfig) -> None:
    def work(processes: Processes) -> Counted:
        assert isinstance(processes, ThreadProcess)
        mine = Counted(processes.rank, processes)
        spectra.run(src, tmp_path / str(mine.rank), config, processes=mine)
        return mine

    peers = side_by_side(count, work)
    made = planned(replace(EVEN, processes=count, devices=count), config, RATES)["network"]
    faults = 8 * 8
    for peer in peers:
        summed = (peer.sent + peer.united) / EVEN.layers
        assert made["summed"] <= summed <= made["summed"] + faults
    collected = sum(peer.collected for peer in peers) / EVEN.layers
    assert made["collected"] <= collected  # beside them there are names and shapes
    sets = planned(EVEN, config, RATES)["solves"]["matrices"]
    assert collected <= made["collected"] + 800 * sets


def test_pools_have_the_outlines_rows() -> None:
    outline = Outline(tokens=10_007, dim=8, categories=3, tokens_per_step=10, traces=7)
    config = RunConfig(num_bins=4, counts=(64,), repeats=2)
    plans = {plan.rows.pool: plan for plan in pool_plans(outline, config)}
    assert int(plans["all"].atom_rows.sum()) == 10_007
    for pool in ("mean", "first", "last"):
        assert int(plans[pool].atom_rows.sum()) == outline.steps == 1001
        filled = plans[pool].atom_rows[plans[pool].atom_rows > 0]
        assert np.ptp(filled) <= 1
        assert len(filled) == 3 * 2 * 4


def test_seconds_follow_from_rates() -> None:
    slow, outline = replace(RATES, disk=1.0), replace(EVEN, processes=2, devices=4)
    made = planned(outline, FIRST_ORDER, slow)
    seconds = made["seconds"]
    passes = made["reads"]["passes"] + made["reads"]["second_passes"]
    assert seconds["of_which_reading"] == pytest.approx(
        passes * outline.layers * outline.layer_bytes / 2
    )
    named = ("draws", "collecting", "solving", "weighing", "network")
    assert seconds["total"] == pytest.approx(sum(seconds[name] for name in named))
    fast = planned(outline, FIRST_ORDER, replace(RATES, network=2 * RATES.network))
    usual = planned(outline, FIRST_ORDER, RATES)
    many = planned(replace(outline, layers=10**12), FIRST_ORDER, RATES)
    assert many["disk"]["results"] == usual["disk"]["results"] * 10**12 // 2
    assert fast["seconds"]["network"] == pytest.approx(usual["seconds"]["network"] / 2)
    given = RATES.given(16, {"reduce": 2.0, "axes": 3.0, "multiply": 5.0, "disk": 7.0})
    assert given.reduction(16) == pytest.approx(2.0)
    assert given.decomposition(16) == pytest.approx(3.0)
    assert (given.multiply, given.weigh, given.disk) == (5.0, 5.0, 7.0)


def test_what_no_plan_is_made_of_is_refused() -> None:
    with pytest.raises(UsageError, match="exact jackknife"):
        planned(EVEN, replace(FIRST_ORDER, jackknife="exact"), RATES)
    with pytest.raises(UsageError, match="evenly"):
        replace(EVEN, processes=2, devices=3)
    with pytest.raises(UsageError, match="a step or more"):
        replace(EVEN, traces=10**6)
    with pytest.raises(UsageError, match="dim is 0"):
        replace(EVEN, dim=0)
    with pytest.raises(UsageError, match="more groups"):
        planned(replace(EVEN, categories=10_000), FIRST_ORDER, RATES)


SMALL = ("plan", "--tokens", "1_000", "--dim", "16")


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(RATES.asdict()))
    return path


def test_the_command_prints_all_subjects(rates: Path) -> None:
    result = call(*SMALL, "--devices", "4", "--rates", rates)
    assert result.exit_code == 0, result.output
    subjects = ("reads", "products", "solves", "memory", "disk", "network", "time", "rates")
    for subject in (*subjects, "assumed"):
        assert f"\n{subject}" in result.stdout
    assert "read from rates.json" in result.stdout


def test_the_pages_example_is_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    shown = [
        (command, output)
        for block in docs_run.blocks(page)
        if block.language == "console"
        for command, output in docs_run.commands(block)
        if command.startswith("spectra plan")
    ]
    assert shown
    for command, output in shown:
        result = call(*shlex.split(command)[1:])
        assert (result.exit_code, result.stdout) == (0, output)


def test_its_document_gives_the_rates_of_the_next_plan(rates: Path, tmp_path: Path) -> None:
    flags = ("--json", "--disk", "2K/s", "--multiply", "0.5", "--network", "1M", "--reduce", "1e-3")
    result = call(*SMALL, "--rates", rates, "--axes", "2", *flags)
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["rates"]["disk"], made["rates"]["multiply"]) == (2048, 0.5e12)
    kept = tmp_path / "kept.json"
    kept.write_text(result.stdout)
    again = json.loads(call(*SMALL, "--rates", kept, "--json").stdout)
    assert again["rates"] == made["rates"]
    assert again["seconds"] == made["seconds"]
    assert (made["outline"]["tokens"], made["outline"]["traces"]) == (1000, 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--layers", "1.5"), "--layers is '1.5'"),
        (("--layers", "nan"), "--layers is 'nan'"),
        (("--layers", "-3"), "--layers is '-3'"),
        (("--layers", "0"), "--layers is '0'"),
        (("--traces", "1e400"), "--traces is '1e400'"),
        (("--traces", "1e99"), "--traces is '1e99'"),
        (("--traces", "2", "--steps-per-trace", "3"), "one of them"),
        (("--disk", "fast"), "--disk is 'fast'"),
        (("--disk", "0"), "--disk is '0'"),
        (("--network", "inf"), "--network is 'inf'"),
        (("--multiply", "0"), "--multiply is '0'"),
        (("--reduce", "x"), "--reduce is 'x'"),
        (("--dtype", "int8"), "--dtype is 'int8'"),
        (("--device-memory", "much"), "--device-memory is 'much'"),
        (("--device-memory", "1"), "1 MB on a device, one pool and category at a time; 1 MB are"),
        (("--disk", f"{'9' * 400}G/s"), "--disk is '999"),
        (("--multiply", f"0.{'0' * 330}1"), "--multiply is '0.000"),
        (("--max-memory", "1K"), "need at least"),
        (("--jackknife", "exact"), "exact jackknife"),
        (("--devices", "3", "--processes", "2"), "evenly"),
    ],
)
def test_nonsense_is_refused(rates: Path, flags: tuple[str, ...], said: str) -> None:
    result = call(*SMALL, "--rates", rates, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "one object"),
        ('{"disc": 1}', "one object"),
        ('{"disk": 1}', "missing"),
        (json.dumps({**RATES.asdict(), "disk": 0}), "disk is 0"),
        (json.dumps({**RATES.asdict(), "disk": "much"}), "disk is 'much'"),
        (json.dumps({**RATES.asdict(), "axes_constant": -1}), "axes_constant is -1"),
        (json.dumps({**RATES.asdict(), "axes_constant": 1e300}), "axes_constant is 1e+300"),
        (json.dumps({**RATES.asdict(), "weigh": 1e-320}), "weigh is 1e-320"),
        (json.dumps({**RATES.asdict(), "keys": 10**400}), "keys is 1000"),
    ],
)
def test_rates_that_are_none_are_refused(rates: Path, text: str, said: str) -> None:
    rates.write_text(text)
    result = call(*SMALL, "--rates", rates)
    assert result.exit_code == 2
    assert said in result.stderr


def test_rates_that_are_not_there(tmp_path: Path) -> None:
    result = call(*SMALL, "--rates", tmp_path / "none.json")
    assert result.exit_code == 2
    assert "none.json" in result.stderr
