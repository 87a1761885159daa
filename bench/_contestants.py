"""The ways to a group's three spectra: the engine and the direct decompositions.

Every way starts from bfloat16 rows [n, d] in host memory and ends with three spectra there. The
direct ways are what a researcher writes: an `eigvalsh` of the covariance and an SVD each of the
centred and of the raw rows. To compare decompositions alone, what a spectrum is used for happens
elsewhere, in float64, over the min(n - 1, d) or min(n, d) values that exist.
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
from bench._accuracy import Spectra
from spectra.backend import Backend
from spectra.backend.device import DeviceBackend
from spectra.linalg import solve, spectra_of_blocks
from spectra.route import DEFAULT_ALPHA_RANKS, route_values

Rows = NDArray[Any]


class Answer(NamedTuple):
    """The spectrum by each route, and how the engine found them."""

    spectra: Spectra
    method: str = "direct"


ROUTES = ("cov_centered", "svd_centered", "svd_uncentered")

Way = Callable[[Rows], Answer]


def ways(backend: Backend) -> dict[str, Way]:
    """Name to function; the engine is first, and JAX runs on the backend's device."""
    device = jax.devices(backend.name)[0]
    engine = engine_on_host
    if backend.name != "cpu":
        engine = partial(engine_on_device, DeviceBackend(device))
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
    values = (getattr(found, route).values for route in ROUTES)
    return Answer(_spectra(rows.shape, *values), str(found.method))


def engine_on_device(backend: Backend, rows: Rows) -> Answer:
    """The same steps with products and the reduction on a device."""
    n, dim = rows.shape
    if n <= dim:
        reduced = backend.reduce_rows(rows)
    else:
        shift = rows[:1024].astype(np.float64).mean(axis=0)
        sums = backend.accumulate(backend.zeros(dim), rows, shift)
        reduced = backend.reduce_moments(sums, shift)
    found = solve(reduced, n, dim, "rows" if n <= dim else "moments", DEFAULT_ALPHA_RANKS)
    if not found.resolved:
        wide = rows.astype(np.float64)
        found = found.repaired_by(spectra_of_blocks(lambda: [wide], dim))
    squares = (found.covariance, found.centered, found.uncentered)
    values = (route_values(*pair, n) for pair in zip(ROUTES, squares, strict=True))
    return Answer(_spectra(rows.shape, *values), found.method)


def by_numpy(rows: Rows, dtype: type[np.floating[Any]]) -> Answer:
    """Direct decompositions by NumPy."""
    x = rows.astype(dtype)
    z = x - x.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(z.T @ z / (len(x) - 1))[::-1]
    sigma, raw = (np.linalg.svd(y, compute_uv=False) for y in (z, x))
    return Answer(_spectra(x.shape, eigenvalues, sigma, raw))


def by_jax(rows: Rows, dtype: type[np.floating[Any]], device: jax.Device) -> Answer:
    """Direct decompositions by JAX, compiled as one program."""
    with jax.enable_x64(dtype is np.float64), jax.default_device(device):
        eigenvalues, sigma, raw = jax.device_get(_decompose(jnp.asarray(rows).astype(dtype)))
    return Answer(_spectra(rows.shape, eigenvalues, sigma, raw))


@jax.jit
def _decompose(x: jax.Array) -> tuple[jax.Array, ...]:
    z = x - x.mean(axis=0)[None]
    scatter = jnp.matmul(z.T, z, precision=jax.lax.Precision.HIGHEST)
    return (
        jnp.linalg.eigvalsh(scatter / (len(x) - 1))[::-1],
        jnp.linalg.svd(z, compute_uv=False),
        jnp.linalg.svd(x, compute_uv=False),
    )


def _spectra(shape: tuple[int, ...], eigenvalues: Rows, sigma: Rows, raw: Rows) -> Spectra:
    """Route to singular values that exist, from the covariance's and the rows' descending ones."""
    n, dim = shape
    exist = min(n - 1, dim)
    clipped = np.maximum(eigenvalues[:exist].astype(np.float64), 0.0)
    wide = (values.astype(np.float64) for values in (sigma[:exist], raw[: min(n, dim)]))
    return dict(zip(ROUTES, (np.sqrt((n - 1) * clipped), *wide), strict=True))
