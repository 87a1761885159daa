"""The ways to a group's three effective ranks: the engine and the direct decompositions.

Every way starts from bfloat16 rows [n, d] in host memory and ends with the three ranks as floats on
the host. The direct ways are what a researcher writes: an `eigvalsh` of the covariance and an SVD
each of the centred and of the raw rows. To compare decompositions alone, the ranks are computed
from every way's spectra in float64, over the min(n - 1, d) or min(n, d) values that exist.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import spectra
from spectra.backend import Backend
from spectra.backend.device import DeviceBackend
from spectra.linalg import solve, spectra_of_blocks
from spectra.reference import effective_rank
from spectra.route import DEFAULT_ALPHA_RANKS

Rows = NDArray[Any]


class Answer(NamedTuple):
    """The effective rank by each route, and how the engine found the spectra."""

    ranks: dict[str, float]
    method: str = "direct"


ROUTES = ("cov_centered", "svd_centered", "svd_uncentered")

Way = Callable[[Rows], Answer]


def ways(backend: Backend) -> dict[str, Way]:
    """Name to function; the engine is first, and JAX runs on the backend's device."""
    device = jax.devices(backend.name)[0]
    engine = engine_on_host
    if backend.name != "cpu":
        # One group at a time here, so no slots for others.
        engine = partial(engine_on_device, DeviceBackend(device, batch=1))
    return {
        "engine": engine,
        "numpy_float64": partial(by_numpy, dtype=np.float64),
        "numpy_float32": partial(by_numpy, dtype=np.float32),
        "jax_float64": partial(by_jax, dtype=np.float64, device=device),
        "jax_float32": partial(by_jax, dtype=np.float32, device=device),
    }


def engine_on_host(rows: Rows) -> Answer:
    """`spectra.routes`."""
    found = spectra.routes(rows)
    ranks = {route: float(getattr(found, route).effective_rank) for route in ROUTES}
    return Answer(ranks, str(found.method))


def engine_on_device(backend: Backend, rows: Rows) -> Answer:
    """The same steps with products and the reduction on a device."""
    n, dim = rows.shape
    if n <= dim:
        reduced = backend.reduce_rows([rows])[0]
    else:
        shift = rows[:1024].astype(np.float64).mean(axis=0)
        reduced = backend.reduce_moments(
            [backend.accumulate(backend.zeros(dim), rows, shift)], shift
        )[0]
    found = solve(reduced, n, dim, "rows" if n <= dim else "moments", DEFAULT_ALPHA_RANKS)
    if not found.resolved:
        wide = rows.astype(np.float64)
        found = found.repaired_by(spectra_of_blocks(lambda: [wide], dim))
    return Answer(
        _ranks(found.covariance, np.sqrt(found.centered), np.sqrt(found.uncentered), rows.shape),
        found.method,
    )


def by_numpy(rows: Rows, dtype: type[np.floating[Any]]) -> Answer:
    """Direct decompositions by NumPy."""
    x = rows.astype(dtype)
    z = x - x.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(z.T @ z / (len(x) - 1))[::-1]
    sigma, raw = (np.linalg.svd(y, compute_uv=False) for y in (z, x))
    return Answer(_ranks(eigenvalues, sigma, raw, x.shape))


def by_jax(rows: Rows, dtype: type[np.floating[Any]], device: jax.Device) -> Answer:
    """Direct decompositions by JAX, compiled as one program."""
    with jax.enable_x64(dtype is np.float64), jax.default_device(device):
        eigenvalues, sigma, raw = jax.device_get(_decompose(jnp.asarray(rows).astype(dtype)))
    return Answer(_ranks(eigenvalues, sigma, raw, rows.shape))


def true_ranks(rows: Rows) -> dict[str, float]:
    """All three ranks from NumPy's float64 SVDs, the first from squared singular values."""
    x = rows.astype(np.float64)
    sigma, raw = (np.linalg.svd(y, compute_uv=False) for y in (x - x.mean(axis=0), x))
    return _ranks(sigma**2, sigma, raw, x.shape)


@jax.jit
def _decompose(x: jax.Array) -> tuple[jax.Array, ...]:
    z = x - x.mean(axis=0)[None]
    scatter = jnp.matmul(z.T, z, precision=jax.lax.Precision.HIGHEST)
    return (
        jnp.linalg.eigvalsh(scatter / (len(x) - 1))[::-1],
        jnp.linalg.svd(z, compute_uv=False),
        jnp.linalg.svd(x, compute_uv=False),
    )


def _ranks(eigenvalues: Rows, sigma: Rows, raw: Rows, shape: tuple[int, ...]) -> dict[str, float]:
    """Route to rank, from the three descending spectra of rows of this shape."""
    n, dim = shape
    exist = min(n - 1, dim)
    counted = (np.maximum(eigenvalues[:exist], 0.0), sigma[:exist], raw[: min(n, dim)])
    ranks = (effective_rank(values.astype(np.float64)) for values in counted)
    return dict(zip(ROUTES, ranks, strict=True))
