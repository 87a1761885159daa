"""Fast precision on JAX's CPU client: its sums, its bound, and the error that a run records."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spectra
from spectra.backend import pairs, precision_advice, select_backend
from spectra.backend.device import DeviceBackend
from spectra.backend.fast import FastBackend
from spectra.backend.precision import BARS, mode_on
from spectra.backend.probe import float32_gain
from spectra.engine import evaluate_layer
from spectra.engine.statistics import program
from spectra.errors import UsageError
from spectra.linalg import FAST, spectra_of_blocks
from spectra.linalg.spectrum import solve
from spectra.outputs import FILES
from spectra.preparation import prepare
from spectra.provenance import Accuracy
from tests import reference_cases as cases
from tests.cli_runs import SMALL, call

CPU = jax.devices("cpu")[0]
CONFIG = spectra.RunConfig(pools=("all", "mean"), counts=(16, 64), repeats=2, num_bins=3)
COMPARED = ("rankme", "rankme_sigma", "alpha_req")


def backend(*, on_host: bool = False) -> FastBackend:
    """With reductions as on a GPU, or as on a TPU."""
    made = FastBackend(CPU)
    made.on_host = on_host
    return made


# ---- pairs --------------------------------------------------------------------------------------

FLOATS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60)


def value(pair: Any) -> float:
    return float(np.asarray(pair, np.float64).sum())


@given(numbers=FLOATS, more=FLOATS)
def test_pairs_add_up_as_float64_does(numbers: list[float], more: list[float]) -> None:
    plus, added = jax.jit(pairs.plus), jax.jit(pairs.added)
    sums = []
    for some in (numbers, more):
        pair = jnp.zeros((2, 1), jnp.float32)
        for number in some:
            pair = plus(pair, np.full(1, number, np.float32))
        sums.append(pair)
    both = added(*sums)
    allowed = 2.0**-44 * (np.abs(numbers).sum() + np.abs(more).sum())
    # What is smaller than float32's normal numbers may vanish.
    assert abs(value(sums[0]) - np.sum(numbers)) <= allowed + 1e-36
    assert abs(value(both) - np.sum(numbers) - np.sum(more)) <= allowed + 1e-36


def test_many_blocks_cost_no_digits() -> None:
    rng = np.random.default_rng(0)
    blocks = rng.random((4000, 16), np.float32)
    zero = jnp.zeros((2, 16), jnp.float32)
    pair, _ = jax.lax.scan(lambda pair, block: (pairs.plus(pair, block), None), zero, blocks)
    exact = blocks.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(np.asarray(pair, np.float64).sum(axis=0), exact, rtol=1e-13)


# ---- spectra ------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    exponent=st.floats(0.0, 4.0),
    mean=st.sampled_from([0.0, 3.0, 100.0]),
    shape=st.sampled_from([(700, 60), (60, 60), (40, 60), (2, 60)]),
    on_host=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_resolved_spectrum_is_within_its_bound(
    exponent: float, mean: float, shape: tuple[int, int], on_host: bool, seed: int
) -> None:
    (rows, dim), rng = shape, np.random.default_rng(seed)
    turned = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    x = (rng.standard_normal(shape) * np.arange(1.0, dim + 1) ** (-exponent / 2)) @ turned
    x += mean * rng.standard_normal(dim)
    made, shift = backend(on_host=on_host), x[0].astype(np.float32).astype(np.float64)
    if rows > dim:
        sums = made.merge(
            made.accumulate(made.zeros(dim), x[:300], shift),
            made.accumulate(made.zeros(dim), x[300:], shift),
        )
        reduced = made.reduce_moments(sums, shift)
    else:
        reduced = made.reduce_rows(x)
    solved = solve(reduced, rows, dim, "moments" if rows > dim else "rows", (11, 50))
    assert reduced.accuracy == FAST
    assert solved.tolerable == FAST.tolerable
    truth = spectra_of_blocks(lambda: [x], dim)
    assert solved.energy == pytest.approx(truth.energy, rel=1e-6)
    if not solved.resolved:
        return
    for name in ("centered", "covariance", "uncentered"):
        found, true = (entropies(getattr(spectra, name)) for spectra in (solved, truth))
        # The bound is on small values: the large ones, off by some of float32's eps, are beside it.
        assert np.abs(found - true).max() <= solved.error + 1e-6


def entropies(squares: Any) -> Any:
    weights = np.stack([squares, np.sqrt(squares)])
    p = weights / weights.sum(axis=1, keepdims=True)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)


# ---- runs ---------------------------------------------------------------------------------------


def power_law(rng: np.random.Generator, n: int, d: int) -> cases.Floats:
    turned = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return np.asarray((rng.standard_normal((n, d)) * np.arange(1.0, d + 1) ** -0.6) @ turned)


def overflowing(rng: np.random.Generator, n: int, d: int) -> cases.Floats:
    return cases.sloping(rng, n, d) * 2.0**64


def both(
    src: Path, tmp: Path, made: FastBackend, monkeypatch: pytest.MonkeyPatch
) -> tuple[spectra.pipeline.ModelRun, spectra.pipeline.ModelRun]:
    """An exact run on the host and a fast one."""
    (exact,) = spectra.run(src, tmp / "exact", CONFIG)
    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: made)
    (fast,) = spectra.run(src, tmp / "fast", CONFIG)
    return exact, fast


def relative(found: Any, true: Any) -> float:
    """The largest relative difference of two records' statistics; both or neither has each."""
    largest = 0.0
    for name in COMPARED:
        a, b = getattr(found, name), getattr(true, name)
        assert (a is None) == (b is None)
        if a is not None and a != b:
            largest = max(largest, abs(a - b) / abs(b))
    return largest


@pytest.mark.parametrize(
    ("make", "on_host"),
    [
        (power_law, False),
        (power_law, True),
        (cases.large_mean, False),
        (cases.large_mean, True),
        (cases.steep, False),
        (cases.low_rank, True),
        (cases.duplicated, False),
        (cases.constant, True),
        (cases.tiny, False),
        (overflowing, True),
    ],
)
def test_every_group_is_within_the_bar(
    make: cases.Maker, on_host: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = cases.long_case(make, 500, 110).write(tmp_path / "m")
    exact, fast = both(src, tmp_path, backend(on_host=on_host), monkeypatch)
    for key, records in exact.records.items():
        for group, record in records.items():
            found = fast.records[key][group]
            assert found.status == record.status
            assert relative(found, record) < BARS["fast"]
    # Where a Gram matrix of float32 cannot resolve the tail, the rows themselves are decomposed.
    methods = {record.method for records in fast.records.values() for record in records.values()}
    resolved = make in (power_law, cases.large_mean)
    assert ("moments" in methods) == (resolved or make is cases.duplicated)
    assert ("svd" in methods) != resolved


def test_the_recorded_error_is_that_of_the_groups_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backend()
    src = cases.long_case(power_law, 500, 110).write(tmp_path / "m")
    prepared = prepare(src, CONFIG, made)
    artifact = prepared.artifact
    with artifact.open_rows(artifact.layer()) as reader:
        results = evaluate_layer(
            prepared.plans[0], reader, CONFIG, made, lambda *_: None, prepared.blocks
        ).pools
    exact, fast = both(src, tmp_path, made, monkeypatch)
    found = {}
    for result in results:
        key = (artifact.config.layer, result.plan.rows.pool)
        kinds = [group.kind for group in result.checked]
        assert len(set(kinds)) == len(kinds) > 4
        methods = {fast.records[key][group].method for group in result.checked}
        assert ("moments" in methods) == (key[1] == "all")
        for group, error in result.checked.items():
            differs = relative(fast.records[key][group], exact.records[key][group])
            assert error == pytest.approx(differs, rel=1e-3)
            found[key, group] = error
    assert fast.accuracy == Accuracy("fast", 1e-3, max(found.values()), len(found))
    recorded = json.loads((fast.out / "run.json").read_text())["precision"]
    assert recorded == {
        "mode": "fast",
        "bound": 1e-3,
        "measured_error": max(found.values()),
        "groups_checked": len(found),
    }
    assert 0 < recorded["measured_error"] < 1e-4
    for name in FILES:
        for run, mode in ((exact, "exact"), (fast, "fast")):
            assert json.loads((run.out / "pool_all" / name).read_text())["precision"] == mode


@pytest.mark.usefixtures("here")
def test_the_summary_has_a_line_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Fast precision" not in call("run", *SMALL).stdout
    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: backend())
    result = call("run", *SMALL)
    assert result.exit_code == 0, result.output
    assert "Fast precision: off by at most " in result.stdout
    assert "(the bound is 0.001)" in result.stdout
    (model,) = json.loads(call("run", "--json", *SMALL).stdout)["models"]
    assert model["precision"]["mode"] == "fast"


def test_an_error_beyond_the_bound_is_said() -> None:
    assert Accuracy.of("fast", []).warnings() == []
    assert Accuracy.of("fast", [1e-5, 9e-4]).warnings() == []
    (warning,) = Accuracy.of("fast", [1e-5, 2e-3]).warnings()
    assert "off by 2.0e-03, as measured on 2 groups; the bound is 0.001" in warning


def test_a_run_on_a_device_compiles_a_handful_of_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(str(kwargs.get("fun_name")))

    src = cases.long_case(power_law, 500, 110).write(tmp_path / "m")
    jax.monitoring.register_event_duration_secs_listener(listen)
    for made in (DeviceBackend(CPU), backend()):
        # Whatever earlier tests compiled: what is counted is all that a run needs.
        jax.clear_caches()
        program.cache_clear()
        compiled.clear()
        monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_, made=made: made)
        spectra.run(src, tmp_path / "a", CONFIG)
        # Fourteen functions; those that take rows, in blocks of 64 and of d, in the pools' two
        # dtypes; the statistics of three kinds of spectra.
        assert 10 <= len(compiled) <= 24, compiled
        assert max(Counter(compiled).values()) <= 4, compiled
        compiled.clear()
        spectra.run(src, tmp_path / "b", CONFIG)
        assert not compiled


# ---- which precision ----------------------------------------------------------------------------


def test_auto_is_exact_where_there_is_float64() -> None:
    assert [mode_on(platform, "auto") for platform in ("cpu", "gpu", "tpu")] == [
        "exact",
        "exact",
        "fast",
    ]
    assert mode_on("gpu", "fast") == mode_on("tpu", "fast") == "fast"
    assert mode_on("cpu", "exact") == mode_on("gpu", "exact") == "exact"
    with pytest.raises(UsageError, match="a TPU does not have"):
        mode_on("tpu", "exact")
    with pytest.raises(UsageError, match="a CPU computes in float64 always"):
        select_backend("cpu", "fast")
    assert select_backend("cpu").mode == "exact"
    assert backend().mode == "fast"


def test_a_gpu_that_is_slow_in_float64_is_told_of_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    made = DeviceBackend(CPU)
    gains = [40.0, 2.0]
    monkeypatch.setattr("spectra.backend.probe.float32_gain", lambda device: gains.pop(0))
    assert precision_advice(made, "auto") == ()
    made.name = "gpu"
    monkeypatch.setattr("spectra.backend.find_devices", lambda name: [CPU])
    (sentence,) = precision_advice(made, "auto")
    assert "--precision fast they would be about 40 times faster" in sentence
    assert precision_advice(made, "auto") == precision_advice(made, "exact") == ()
    assert gains == []


def test_the_gain_is_measured() -> None:
    assert 0.1 < float32_gain(CPU) < 100
