"""The device backend against the host's, on JAX's CPU client, and the choice between them."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from spectra.backend import Backend, select_backend
from spectra.backend.device import ROWS_PER_UPDATE, DeviceBackend
from spectra.backend.fast import FastBackend
from spectra.backend.host import HostBackend
from spectra.backend.room import SMALLEST_BLOCK
from spectra.errors import BackendUnavailableError, UsageError
from spectra.linalg import Reduced, solve

DIM = 70


def rows(count: int, seed: int = 0) -> NDArray[np.generic]:
    rng = np.random.default_rng(seed)
    scale = np.arange(1, DIM + 1) ** -0.5
    return (rng.standard_normal((count, DIM)) * scale + 2.0).astype(ml_dtypes.bfloat16)


def device() -> DeviceBackend:
    return DeviceBackend(jax.devices("cpu")[0])


def same(a: Reduced, b: Reduced, count: int) -> None:
    left, right = (solve(reduced, count, DIM, "rows", (1, 2)) for reduced in (a, b))
    for name in ("centered", "uncentered", "covariance"):
        ours, theirs = getattr(left, name), getattr(right, name)
        # Rounding of a Gram matrix is absolute: of the size of its largest eigenvalue.
        rounding = 4 * np.finfo(np.float64).eps * ours.max(initial=0.0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=rounding)
    assert left.energy == pytest.approx(right.energy, rel=1e-13)
    assert left.mean_energy == pytest.approx(right.mean_energy, rel=1e-12)


@pytest.mark.parametrize("count", [71, 200, ROWS_PER_UPDATE + 3])
def test_moments_reduce_alike(count: int) -> None:
    x, shift = rows(count), np.full(DIM, 1.5)
    found = []
    for backend in (HostBackend(2), device()):
        made: Backend = backend
        first = made.accumulate(made.zeros(DIM), x[:50], shift)
        second = made.accumulate(made.zeros(DIM), x[50:], shift)
        merged = made.merge(first, second)
        assert merged.rows == count
        found.append(made.reduce_moments(merged, shift))
    same(found[0], found[1], count)


@pytest.mark.parametrize("made", [device(), FastBackend(jax.devices("cpu")[0])])
def test_rows_may_change_after_they_were_handed_over(made: DeviceBackend) -> None:
    # As the engine's buffers do; a size that needs no padding, and long enough to be still read.
    x, shift = np.ones((made.most_rows, 256), np.float32), np.zeros(256)
    sums, buffer = made.zeros(256), np.empty_like(x)
    for _ in range(20):
        buffer[:] = x
        sums = made.accumulate(sums, buffer, shift)
        buffer[:] = 7.0
    reduced = made.reduce_moments(sums, shift)
    assert reduced.energy == 20 * x.size


@pytest.mark.parametrize("count", [1, 2, 3, 60, SMALLEST_BLOCK, SMALLEST_BLOCK + 1, 70])
def test_rows_reduce_alike(count: int) -> None:
    x = rows(count, count)
    same(HostBackend(2).reduce_rows(x), device().reduce_rows(x), count)


@pytest.mark.parametrize("made", [DeviceBackend, FastBackend])
def test_few_rows_are_the_hosts(made: type[DeviceBackend]) -> None:
    mixed, x = made(jax.devices("cpu")[0], rows_on_host=10), rows(11)
    few, many = (mixed.reduce_rows(some) for some in (x[:10], x))
    own = HostBackend(2).reduce_rows(x[:10])
    assert few.raw.diag.tobytes() == own.raw.diag.tobytes()
    assert few.accuracy == own.accuracy
    assert many.accuracy == made(jax.devices("cpu")[0]).reduce_rows(x).accuracy
    assert mixed.reduction(10, rows=True) == HostBackend(2).reduction(10, rows=True)
    assert "XLA" in mixed.reduction(11, rows=True)
    assert "XLA" in mixed.reduction(10, rows=False)

    def weights(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        return np.full((1, len(values)), 1.0 / count)

    assert np.array_equal(
        mixed.carried_by_few(x[:10], True, weights),
        HostBackend(2).carried_by_few(x[:10], True, weights),
    )


def test_one_column() -> None:
    x, shift = rows(9)[:, :1], np.zeros(1)
    for made in (HostBackend(1), device()):
        sums = made.accumulate(made.zeros(1), x, shift)
        reduced = made.reduce_moments(sums, shift)
        wide = x.astype(np.float64)
        assert reduced.centered.diag[0] == pytest.approx(((wide - wide.mean()) ** 2).sum())
        assert reduced.raw.diag[0] == pytest.approx((wide**2).sum())


def test_the_cpu_backend_is_the_host() -> None:
    assert isinstance(select_backend("cpu"), HostBackend)
    assert select_backend("auto").name in ("cpu", "gpu", "tpu")


def test_an_absent_device_is_refused_with_the_install_line() -> None:
    if any(device.platform == "gpu" for device in jax.devices()):
        assert select_backend("gpu").name == "gpu"
        return
    with pytest.raises(BackendUnavailableError, match=r"pip install \"spectra-metrics\[cuda\]\""):
        select_backend("gpu")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="Expected one of: auto, cpu, gpu, tpu"):
        select_backend("npu")
