"""Solvers that fail, and a device whose memory runs out: noticed, mended on the host, recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

import spectra
from spectra.backend import device as device_module
from spectra.backend.device import DeviceBackend
from spectra.backend.host import HostBackend, reduced_rows
from spectra.backend.room import Room
from spectra.backend.sums import Sums
from spectra.errors import DeviceMemoryError, SolverError
from spectra.linalg import (
    F64,
    Method,
    Reduced,
    Wanted,
    axes,
    carried_by_few,
    rowspace,
    solve,
    spectra_of_blocks,
)
from spectra.linalg.lapack import lasq1
from spectra.linalg.spectrum import BEYOND
from spectra.linalg.tridiagonal import Tridiagonal
from tests import test_engine
from tests.test_engine import DIM, make, numbers

CPU = jax.devices("cpu")[0]
CONFIG = replace(test_engine.CONFIG, pools=("all", "first"), counts=(16,))
RANKS = (2, 5)
Damage = Callable[[Reduced], Reduced]


def with_diagonal(change: Callable[[F64], F64]) -> Damage:
    def damaged(reduced: Reduced) -> Reduced:
        centered, raw = (
            Tridiagonal(change(t.diag.copy()), t.off) for t in (reduced.centered, reduced.raw)
        )
        return reduced._replace(centered=centered, raw=raw)

    return damaged


def set_last(value: float) -> Callable[[F64], F64]:
    def change(diag: F64) -> F64:
        if len(diag):
            diag[-1] = value
        return diag

    return change


DAMAGES: dict[str, Damage] = {
    "not finite": with_diagonal(set_last(np.nan)),
    "negative": with_diagonal(set_last(-1e3)),
    "energy": with_diagonal(lambda diag: 1.5 * diag),
}
"""What is done to a reduction, by the fault that it must be found to have."""


def rows_of(count: int, dim: int = 8) -> F64:
    return np.random.default_rng(count).standard_normal((count, dim)) + 2.0


def of_moments(x: F64) -> Reduced:
    host, shift = HostBackend(1), x.mean(axis=0)
    return host.reduce_moments(host.accumulate(host.zeros(x.shape[1]), x, shift), shift)


# ---- one spectrum -------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", DAMAGES)
@pytest.mark.parametrize("wanted", ["both", "centered", "uncentered"])
@pytest.mark.parametrize("count", [3, 8, 40])
def test_a_wrong_reduction_is_noticed(fault: str, wanted: Wanted, count: int) -> None:
    x = rows_of(count)
    method: Method = "rows" if count <= 8 else "moments"
    reduced = reduced_rows(x) if method == "rows" else of_moments(x)
    good = solve(reduced, count, 8, method, RANKS, wanted)
    assert good.resolved
    assert good.fault is None
    bad = solve(DAMAGES[fault](reduced), count, 8, method, RANKS, wanted)
    assert not bad.resolved
    assert bad.fault == fault
    truth = spectra_of_blocks(lambda: [x], 8)
    mended = bad.repaired_by(truth)
    assert (mended.method, mended.fault) == ("svd", fault)
    assert mended.centered.tobytes() == truth.centered.tobytes()


def test_energies_that_are_not_finite_are_noticed() -> None:
    x = rows_of(40)
    reduced = of_moments(x)
    for change in (
        reduced._replace(energy=np.nan),
        reduced._replace(mean_energy=np.nan),
        reduced._replace(shift_energy=np.nan),
    ):
        assert solve(change, 40, 8, "moments", RANKS).fault == "not finite"


def test_small_negative_values_are_zero_and_count_as_rounding() -> None:
    diag = np.array([4.0, 3.0, 2.0, 1.0, -1e-15])
    t = Tridiagonal(diag, np.zeros(4))
    energy = float(diag.sum())
    found = solve(Reduced(t, t, energy, 0.0, 0.0), 9, 5, "moments", (1, 3), "uncentered")
    assert found.uncentered.tolist() == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert found.noise >= 1e-15
    assert found.fault != "negative"
    beyond = Tridiagonal(np.array([4.0, 3.0, 2.0, 1.0, -3 * BEYOND * found.noise]), np.zeros(4))
    found = solve(Reduced(beyond, beyond, energy, 0.0, 0.0), 9, 5, "moments", (1, 3))
    assert found.fault == "negative"


def test_where_dqds_fails_divide_and_conquer_does_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = rows_of(40)
    truth = spectra_of_blocks(lambda: [x], 8)

    def fails(diag: F64, off: F64) -> F64:
        return lasq1(np.full_like(diag, np.nan), off)

    monkeypatch.setattr(rowspace, "lasq1", fails)
    found = spectra_of_blocks(lambda: [x], 8)
    for name in ("centered", "uncentered"):
        np.testing.assert_allclose(getattr(found, name), getattr(truth, name), rtol=1e-12)

    def never(*_: Any, **__: Any) -> F64:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", never)
    with pytest.raises(SolverError, match=r"order 8 were found by none of three algorithms"):
        spectra_of_blocks(lambda: [x], 8)


# ---- axes ---------------------------------------------------------------------------------------


def on_one_axis(eigenvalues: F64, rows: int) -> F64:
    return np.ones((1, len(eigenvalues))) * (eigenvalues > 0)


def test_where_axes_are_not_found_nothing_is_said_of_what_rows_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(matrix: F64) -> tuple[F64, F64]:
        raise np.linalg.LinAlgError("did not converge")

    # The package's name `axes` is that of the function in it.
    monkeypatch.setattr(import_module("spectra.linalg.axes"), "syevd", fails)
    assert np.isnan(carried_by_few(rows_of(5), True, on_one_axis)).all()
    found = axes(np.eye(8, order="F"), 40, np.zeros(8), on_one_axis)
    assert np.isnan(found.weights).all()


def test_axes_that_a_device_does_not_find_are_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = DeviceBackend(CPU), rows_of(40)
    shift = x.mean(axis=0)
    sums = made.accumulate(made.zeros(8), x, shift)

    def found() -> tuple[F64, F64]:
        (many,) = made.carried(x, [made.axes(sums, shift, True, on_one_axis)])
        return many, made.carried_by_few(x[:5], True, on_one_axis)

    good = found()

    def fails(*arguments: Any) -> tuple[Any, Any]:
        matrix = np.asarray(arguments[0])
        return np.full(len(matrix), np.nan), np.full((len(matrix), len(matrix)), np.nan)

    monkeypatch.setattr("spectra.backend.weighing._eigen", fails)
    monkeypatch.setattr("spectra.backend.weighing._eigen_of_rows", fails)
    for one, other in zip(good, found(), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


# ---- runs ---------------------------------------------------------------------------------------


class Faulty(HostBackend):
    """Every third reduction is wrong, in turns in one of three ways."""

    def __init__(self) -> None:
        super().__init__(1)
        self.calls = 0

    def _damaged(self, reduced: Reduced) -> Reduced:
        self.calls += 1
        if self.calls % 3:
            return reduced
        return list(DAMAGES.values())[self.calls // 3 % 3](reduced)

    def reduce_moments(self, sums: Sums, shift: F64) -> Reduced:
        return self._damaged(super().reduce_moments(sums, shift))

    def reduce_rows(self, rows: NDArray[np.generic]) -> Reduced:
        return self._damaged(super().reduce_rows(rows))


def test_a_run_mends_what_a_solver_got_wrong_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = make(tmp_path / "m")
    (good,) = spectra.run(src, tmp_path / "good", CONFIG)
    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: Faulty())
    (run,) = spectra.run(src, tmp_path / "faulty", CONFIG)
    recorded = json.loads((run.out / "run.json").read_text())["repairs"]
    assert set(recorded) == {"rounding", *DAMAGES}
    assert all(recorded[fault] > 0 for fault in DAMAGES)
    (warning,) = [text for text in run.warnings if "came wrong from the solver" in text]
    assert f"energy: {recorded['energy']}" in warning
    assert json.loads((good.out / "run.json").read_text())["repairs"] == {
        "rounding": recorded["rounding"],
        **dict.fromkeys(DAMAGES, 0),
    }
    # A method, its disagreement and its bound are those of the SVD that stands in.
    for name in ("basic_metrics", "depth_profile", "token_count_sweep"):
        for pool in CONFIG.pools:
            a, b = (
                json.loads((one.out / f"pool_{pool}" / f"{name}.json").read_text())
                for one in (good, run)
            )
            assert numbers(b) == pytest.approx(numbers(a), rel=1e-9, abs=1e-9)


def run_out_of_memory(made: DeviceBackend, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a run use this backend, whose updates fail until it was halved so many times."""
    exact, less, halved = device_module.EXACT, DeviceBackend.with_less_room, [0]

    def halving(self: DeviceBackend) -> DeviceBackend | None:
        halved[0] += 1
        return less(self)

    def updating(*arguments: Any) -> Any:
        if halved[0] < times:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes")
        return exact.update(*arguments)

    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: made)
    monkeypatch.setattr(DeviceBackend, "with_less_room", halving)
    monkeypatch.setattr(device_module, "EXACT", replace(exact, update=updating))


def test_a_device_that_runs_out_of_memory_is_asked_for_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = make(tmp_path / "m")
    (host,) = spectra.run(src, tmp_path / "host", CONFIG)
    whole = Room(1 << 26)
    monkeypatch.setattr(device_module, "LEAST_ROOM", 1 << 20)
    run_out_of_memory(DeviceBackend(CPU, room=whole), 2, monkeypatch)
    (run,) = spectra.run(src, tmp_path / "device", CONFIG)
    recorded = json.loads((run.out / "run.json").read_text())
    tried = [whole.moments(DIM), Room(whole.total // 2).moments(DIM)]
    assert recorded["device_memory_exhausted"] == {str(recorded["layers"][0]): tried}
    (warning,) = [text for text in run.warnings if "memory ran out" in text]
    assert "computed again with less" in warning
    for path in sorted(host.out.rglob("basic_metrics.json")):
        same = json.loads((run.out / path.relative_to(host.out)).read_text())
        expected = numbers(json.loads(path.read_text()))
        assert numbers(same) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("least", [1 << 20, 1 << 40])
def test_where_half_does_not_serve_either_the_run_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    src = make(tmp_path / "m")
    monkeypatch.setattr(device_module, "LEAST_ROOM", least)
    run_out_of_memory(DeviceBackend(CPU, room=Room(1 << 26)), 99, monkeypatch)
    message = r"memory of the cpu ran out, with .* MB planned .* or run with --backend cpu"
    with pytest.raises(DeviceMemoryError, match=message):
        spectra.run(src, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


def test_other_errors_of_a_device_are_not_taken_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    src = make(tmp_path / "m")
    made = DeviceBackend(CPU, room=Room(1 << 30))
    monkeypatch.setattr("spectra.pipeline.select_backend", lambda *_: made)
    monkeypatch.setattr(device_module, "EXACT", replace(device_module.EXACT, update=fails))
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        spectra.run(src, tmp_path / "out", CONFIG)
