"""The engine's own promises: nothing but the rows decides the numbers, and little is compiled."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest

import spectra
from spectra.artifacts import RowReader, Sample, Step, open_artifact, write_artifact
from spectra.backend import select_backend, usable_cores
from spectra.backend.device import DeviceBackend
from spectra.backend.host import HostBackend
from spectra.engine import plan, stream
from spectra.engine.clock import KINDS, Clock, TimedBackend
from spectra.engine.memory import Limit
from spectra.engine.solve import Solver
from spectra.engine.statistics import program
from spectra.errors import UsageError
from spectra.grouping import SEGMENTS, Group
from spectra.outputs import FILES
from spectra.preparation import prepare
from spectra.sampling import Draws, nested_units

CONFIG = spectra.RunConfig(backend="cpu", counts=(8, 16, 48), repeats=2, num_bins=4)
DIM = 24
HOST = HostBackend()

Usual = tuple[Path, dict[str, bytes]]


def make(
    path: Path,
    *,
    seed: int = 0,
    labels: str = "abc",
    traces: int = 12,
    unlabelled: bool = False,
    layers: int = 1,
) -> Path:
    """An artifact in which large and small atoms, and groups on both sides of d rows, occur.

    With `unlabelled` every fourth step has no segment. Layers are numbered from 1.
    """
    rng = np.random.default_rng(seed)
    samples, offset = [], 0
    for trace in range(traces):
        steps, at = [], 3
        for number in range(int(rng.integers(4, 9))):
            length = int(rng.integers(0, 14))
            segment = None if unlabelled and number % 4 == 1 else SEGMENTS[number > 4]
            label = labels[int(rng.integers(len(labels)))]
            steps.append(Step(at, at + length, offset + at, offset + at + length, segment, label))
            at += length + int(rng.integers(0, 2))
        samples.append(Sample(f"s{trace}", None, offset, at + 2, 3, tuple(steps)))
        offset += at + 2
    states = rng.standard_normal((offset, DIM)) * np.arange(1, DIM + 1) ** -0.5 + 1
    turned = {1 + n: (np.roll(states, n, axis=1)).astype(ml_dtypes.bfloat16) for n in range(layers)}
    write_artifact(
        path, model="m", layers=turned, samples=samples, final_norm=False, shard_rows=100
    )
    return path


def files(out: Path) -> dict[str, bytes]:
    """Every output but run.json, by relative name."""
    return {
        p.relative_to(out).as_posix(): p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name != "run.json"
    }


def result(tmp: Path, name: str, src: Path, config: spectra.RunConfig = CONFIG) -> dict[str, bytes]:
    (run,) = spectra.run(src, tmp / name, config)
    return files(run.out)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Usual:
    """`make`'s artifact, which no test changes, and the files of one run on it."""
    root = tmp_path_factory.mktemp("usual")
    return make(root / "m"), result(root, "out", root / "m")


def numbers(value: Any) -> list[float]:
    """Every number of a document, in order; null as -1, which none of them is."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in numbers(v)]
    if isinstance(value, list):
        return [x for v in value for x in numbers(v)]
    if value is None:
        return [-1.0]
    return [value] if isinstance(value, int | float) else []


def test_a_repeated_run_has_the_same_bytes(usual: Usual, tmp_path: Path) -> None:
    src, first = usual
    assert len(first) == 4 * 4 + 1
    assert result(tmp_path, "b", src) == first


def overlapping(path: Path) -> Path:
    """Steps of sixty rows that begin every twenty, over values of very different sizes."""
    rng = np.random.default_rng(0)
    steps = [
        Step(at, at + 60, at, at + 60, "thought", "ab"[at // 20 % 2]) for at in range(0, 340, 20)
    ]
    states = rng.standard_normal((400, DIM)) * 10.0 ** rng.uniform(-3, 3, (400, 1))
    sample = Sample("s", None, 0, 400, 0, tuple(steps))
    layers = {1: states.astype(ml_dtypes.bfloat16)}
    return write_artifact(path, model="m", layers=layers, samples=[sample], final_norm=False)


BLOCK_ROWS = [1, 7, 64]


@pytest.mark.parametrize("rows", BLOCK_ROWS)
def test_the_size_of_blocks_changes_no_byte(
    usual: Usual,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    src, first = usual
    monkeypatch.setattr(stream, "BLOCK_BYTES", rows * DIM * 2)
    assert result(tmp_path, "b", src) == first


def test_nor_where_steps_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src = overlapping(tmp_path / "m")
    first = result(tmp_path, "a", src)
    for rows in BLOCK_ROWS:
        monkeypatch.setattr(stream, "BLOCK_BYTES", rows * DIM * 2)
        assert result(tmp_path, f"of {rows}", src) == first


@pytest.mark.parametrize(("unlabelled", "traces"), [(True, 12), (True, 3)])
def test_less_memory_means_more_passes_and_the_same_bytes(
    tmp_path: Path, unlabelled: bool, traces: int
) -> None:
    src = make(tmp_path / "m", unlabelled=unlabelled, traces=traces)
    first = result(tmp_path, "a", src)
    (whole,) = prepare(src, CONFIG, HOST).plans
    assert whole.passes == 1
    least = max(one.planned.host for one in plan.rounds(whole.pools, Limit(0)))
    assert least < whole.planned.host
    small = replace(CONFIG, max_memory=least)
    (tight,) = prepare(src, small, HOST).plans
    assert tight.passes > 4
    assert tight.planned.host <= least
    assert result(tmp_path, "b", src, small) == first
    with pytest.raises(UsageError, match="one pool and category at a time; --max-memory is"):
        prepare(src, replace(CONFIG, max_memory=least - 1), HOST)


def test_axes_of_large_groups_are_part_of_the_planned_memory(tmp_path: Path) -> None:
    src = make(tmp_path / "m", traces=30, unlabelled=True)
    config = replace(CONFIG, pools=("all",))
    on = prepare(src, config, HOST)
    off = prepare(src, replace(config, jackknife="off"), HOST)
    (pool,) = on.plans[0].pools
    atoms = pool.rows.atoms
    groups = atoms.basic_groups() + atoms.depth_groups()
    large = sum(int(pool.atom_rows[atoms.mask(group)].sum()) > DIM for group in groups)
    assert large > 10
    assert on.planned.host - off.planned.host == large * 8 * DIM**2


def test_every_row_is_read_once_and_prompts_are_not_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK_BYTES", 10 * DIM * 2)
    src = make(tmp_path / "m")
    prepared = prepare(src, CONFIG, HOST)
    layer_plan, artifact = prepared.plans[0], prepared.artifact
    with artifact.open_rows(artifact.layer()) as reader:
        states = reader.read(0, reader.num_rows).astype(np.float64)
        source = stream.Stream(reader, layer_plan.pairs, Clock())
        read: list[int] = []
        plain = RowReader.read

        def counting(self: RowReader, start: int, stop: int, out: Any = None) -> Any:
            read.append(stop - start)
            return plain(self, start, stop, out)

        monkeypatch.setattr(RowReader, "read", counting)
        pools, steps = [p.rows for p in layer_plan.pools], layer_plan.pairs.steps
        seen: dict[int, list[int]] = {k: [] for k in range(len(pools))}
        for number, rows, places in source.blocks(
            pools, [np.ones(p.atoms.count, bool) for p in pools]
        ):
            seen[number] += places.tolist()
            for row, place in zip(rows.astype(np.float64), places, strict=True):
                run = int(np.searchsorted(pools[number].first, place, side="right")) - 1
                step = int(pools[number].step[run])
                begin, stop = steps.start[step], steps.stop[step]
                expected = {
                    "all": states[begin + place - layer_plan.pairs.first[step]],
                    "first": states[begin],
                    "last": states[stop - 1],
                    "mean": states[begin:stop].mean(axis=0),
                }[pools[number].pool]
                np.testing.assert_allclose(row, expected, rtol=1e-14)
    assert [sorted(seen[k]) for k in seen] == [list(range(len(p))) for p in pools]
    assert sum(read) <= len(states)


def test_relabelling_one_category_leaves_the_others_samples_alone(
    usual: Usual, tmp_path: Path
) -> None:
    two = make(tmp_path / "m", labels="abd")
    a = json.loads(usual[1]["pool_all/token_count_sweep.json"])
    b = json.loads(result(tmp_path, "b", two)["pool_all/token_count_sweep.json"])
    assert a["curves"]["c"] != b["curves"]["d"]
    assert a["curves"]["a"] == b["curves"]["a"]


def test_more_counts_leave_the_smaller_ones_alone(usual: Usual, tmp_path: Path) -> None:
    src, first = usual
    a = json.loads(first["pool_all/token_count_sweep.json"])
    more = spectra.RunConfig(backend="cpu", counts=(8, 12, 16, 48, 64), repeats=2, num_bins=4)
    b = json.loads(result(tmp_path, "b", src, more)["pool_all/token_count_sweep.json"])
    for name, curve in a["curves"].items():
        kept = [point for point in b["curves"][name] if point["count"] in CONFIG.counts]
        for x, y in zip(curve, kept, strict=True):
            assert numbers(x["mean"]) == pytest.approx(numbers(y["mean"]), rel=1e-12)


def test_the_device_backend_gives_the_hosts_files(
    usual: Usual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src, first = usual
    made = DeviceBackend(jax.devices("cpu")[0])
    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: made)
    second = result(tmp_path, "b", src)
    assert first.keys() == second.keys()
    for name in first:
        if name.endswith(FILES):
            a, b = json.loads(first[name]), json.loads(second[name])
            # Spreads and disagreements of zero are rounding: they have no digits to compare.
            assert numbers(a) == pytest.approx(numbers(b), rel=1e-9, abs=1e-9)


def test_a_run_compiles_a_handful_of_programs(tmp_path: Path) -> None:
    compiled: list[str] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    src = make(tmp_path / "m", layers=2)
    jax.clear_caches()
    program.cache_clear()
    jax.monitoring.register_event_duration_secs_listener(listen)
    config = spectra.RunConfig(backend="cpu", layers="all", counts=(16, 64), repeats=2, num_bins=3)
    assert len(spectra.run(src, tmp_path / "a", config)[0].records) == 2 * 4
    # One program for the records, one a route definition (centred, uncentred), one for how metrics
    # move with eigenvalues, whatever the number of layers, pools, groups and subsamples.
    assert 1 <= len(compiled) <= 4
    compiled.clear()
    spectra.run(src, tmp_path / "b", config)
    assert not compiled


def test_counts_and_small_groups_have_the_method_that_suits_them(tmp_path: Path) -> None:
    (run,) = spectra.run(make(tmp_path / "m"), tmp_path / "a", CONFIG)
    methods = {record.method for record in run.records[1, "all"].values()}
    assert methods >= {"rows", "moments"}
    whole = run.records[1, "all"][Group("global")]
    artifact = open_artifact(tmp_path / "m")
    steps = [step for sample in artifact.index.samples for step in sample.steps]
    assert whole.num_tokens == sum(step.token_end - step.token_start for step in steps)
    assert whole.num_steps == sum(step.token_end > step.token_start for step in steps)
    assert whole.num_traces == 12


def test_memory_is_planned_by_the_smaller_of_rows_and_moments() -> None:
    # d = 4096, 8 categories x 3 segments x 10 bins: the published dataset's shape, never allocated.
    from spectra.grouping import Atoms
    from spectra.pooling import PooledRows

    rng = np.random.default_rng(0)
    atoms = Atoms(tuple("abcdefgh"), 10)
    grid = rng.integers(0, 2, 400_000) * 10 + rng.integers(0, 10, 400_000)
    atom = rng.integers(0, 8, 400_000) * 30 + grid
    pairs: Any = None
    rows = PooledRows("first", np.arange(400_001), np.arange(400_000), atom, atoms, pairs)
    made = plan.PoolPlan.of(rows, 4096, 2, Draws((64,), 1, 0, matched=False))
    assert not made.large.any()
    moment = 8 * 4096**2
    (whole,) = plan.rounds([made], Limit(1 << 60))
    assert 400_000 * 4096 * 2 <= whole.planned.host <= 400_000 * 4096 * 2 + 60 * moment
    (least,) = plan.rounds([made], Limit(0))
    assert len(least.sweeps) == 8
    # All 20 segment x bin groups, both segments and the whole are large; nothing else stays.
    assert least.planned.host < (20 + 2 + 1 + 2 * usable_cores() + 2 + 10) * moment + 1e9


def test_select_backend_is_what_auto_means(tmp_path: Path) -> None:
    assert select_backend("auto").name == jax.default_backend()


def test_groups_of_the_same_rows_are_solved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one label, a category is the whole, and its halves are the segments'.
    src = make(tmp_path / "m", labels="a")
    submitted: list[Any] = []
    plain = Solver.submit

    def counting(self: Any, key: Any, *rest: Any, **named: Any) -> None:
        submitted.append(key)
        plain(self, key, *rest, **named)

    monkeypatch.setattr(Solver, "submit", counting)
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, pools=("all",)))
    groups = [key for key in submitted if isinstance(key, Group)]
    assert {group.kind for group in groups} == {"global", "segment", "bin", "segment_bin"}
    assert len(groups) == len(set(groups))
    records = run.records[1, "all"]
    assert records[Group("category", None, "a")] == records[Group("global")]
    halves = [Group("segment_category", "thought", "a"), Group("segment", "thought")]
    assert records[halves[0]] == records[halves[1]]


# ---- where the time goes ------------------------------------------------------------------------


def test_a_profile_changes_no_number_and_counts_every_kind_of_work(
    usual: Usual, tmp_path: Path
) -> None:
    src, without = usual
    (profiled,) = spectra.run(src, tmp_path / "profiled", CONFIG, profile=True)
    assert profiled.profile is not None
    assert tuple(profiled.profile.work) == KINDS
    assert all(seconds > 0 for seconds in profiled.profile.work.values())
    (used,) = profiled.profile.solvers.values()
    assert used["matrices"] > len(next(iter(profiled.records.values())))
    assert 1 <= used["smallest"] < used["largest"]
    stages = {"plan", "fetch", profiled.profile.main, "statistics", "write"}
    assert set(profiled.profile.stages) == stages
    assert files(profiled.out) == without
    recorded = json.loads((profiled.out / "run.json").read_text())
    assert recorded["work_seconds"] == profiled.profile.work
    assert "work_seconds" not in json.loads((src.parent / "out/m/run.json").read_text())


def test_a_timed_device_gives_the_same_sums() -> None:
    plain, clock = DeviceBackend(jax.devices("cpu")[0]), Clock()
    timed = TimedBackend(plain, clock)
    rows, shift = np.random.default_rng(0).standard_normal((9, 4)), np.zeros(4)
    found = [made.accumulate(made.zeros(4), rows, shift) for made in (plain, timed)]
    assert np.array_equal(found[0].gram, found[1].gram)
    assert clock.asdict()["multiply"] > 0
    assert clock.asdict()["reduce"] == 0


def test_reading_goes_on_while_rows_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK_BYTES", 10 * DIM * 2)
    prepared = prepare(make(tmp_path / "m"), CONFIG, HOST)
    pool = prepared.plans[0].pools[0].rows
    second = threading.Event()
    plain = RowReader.read

    def telling(self: RowReader, start: int, stop: int, out: Any = None) -> Any:
        if start > 0:
            second.set()
        return plain(self, start, stop, out)

    with prepared.artifact.open_rows(prepared.artifact.layer()) as reader:
        monkeypatch.setattr(RowReader, "read", telling)
        source = stream.Stream(reader, prepared.plans[0].pairs, Clock())
        blocks = source.blocks([pool], [np.ones(pool.atoms.count, bool)])
        next(blocks)
        assert second.wait(30)
        blocks.close()


def test_subsamples_of_whole_traces(tmp_path: Path) -> None:
    src = make(tmp_path / "m")
    options = replace(CONFIG, sampling="trace", pools=("all",), jackknife="off")
    (run,) = spectra.run(src, tmp_path / "a", options)
    sweep = json.loads((run.out / "pool_all/token_count_sweep.json").read_text())
    assert sweep["sampling"]["unit"] == "trace"
    artifact = open_artifact(src)
    with artifact.open_rows(artifact.layer()) as reader:
        states = reader.read(0, reader.num_rows).astype(np.float64)
    traces = [
        np.concatenate([np.arange(s.global_start, s.global_end) for s in sample.steps])
        for sample in artifact.index.samples
    ]
    units, lengths = np.arange(len(traces)), np.array(list(map(len, traces)))
    rows = np.concatenate(traces)
    for point in sweep["curves"]["global"]:
        count, found = point["count"], []
        for repeat in range(CONFIG.repeats):
            drawn = nested_units(
                Group("global"), units, lengths, count, "all", repeat, CONFIG.seed, "trace"
            )
            found.append(spectra.metrics(states[rows[drawn]]).rankme)
        assert point["mean"]["rankme"] == pytest.approx(np.mean(found), rel=1e-9)


def test_groups_are_compared_only_where_asked(usual: Usual, tmp_path: Path) -> None:
    src, with_blocks = usual
    without = result(tmp_path, "b", src, replace(CONFIG, matched=False))
    for name, content in with_blocks.items():
        if name.endswith(FILES):
            document = json.loads(content)
            assert ("matched" in document) == name.endswith(
                ("basic_metrics.json", "depth_profile.json")
            )
            document.pop("matched", None)
            assert document == json.loads(without[name]), name


def test_another_category_changes_no_subsample_of_the_others(usual: Usual, tmp_path: Path) -> None:
    src = make(tmp_path / "m")
    index = json.loads((src / "index.json").read_text())
    steps = [step for sample in index["samples"] for step in sample["steps"]]
    for step in [step for step in steps if step["category"] == "c"][::2]:
        step["category"] = "d"
    first = json.loads(usual[1]["pool_all/depth_profile.json"])
    (src / "index.json").write_text(json.dumps(index))
    second = json.loads(result(tmp_path, "b", src)["pool_all/depth_profile.json"])
    for name in "ab":
        assert first["categories"][name] == second["categories"][name]
    for kind in ("bins", "segments"):
        assert numbers(first["matched"][kind]) == pytest.approx(
            numbers(second["matched"][kind]), rel=1e-9, abs=1e-9
        )
