"""Ways to all eigenvalues of a batch of symmetric matrices, values only wanted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import eigh_tridiagonal
from numpy.typing import NDArray

from spectra.backend import one_thread_blas, usable_cores
from spectra.linalg import Tridiagonal, twostage
from spectra.linalg.lapack import sytrd
from spectra.linalg.tridiagonal import eigenvalues

Matrices = NDArray[Any]
"""Symmetric, [B, d, d], float32 or float64."""

Way = Callable[[Matrices], NDArray[Any]]
"""Matrices in host memory to eigenvalues [B, d] there, in any order."""


def ways(device: jax.Device, dtype: np.dtype[Any], order: int) -> dict[str, Way]:
    """Name to function, for such matrices; the programs of JAX and torch on `device`."""
    found: dict[str, Way] = {
        "numpy.eigvalsh": np.linalg.eigvalsh,
        "jnp.eigvalsh": partial(_by_jax, _eigvalsh, device),
        "jnp.svd": partial(_by_jax, _svdvals, device),
    }
    if dtype == np.float64:
        found["lapack sytrd"] = partial(by_lapack, sytrd)
        if order > twostage.BAND and twostage.available():
            found["lapack two stages"] = partial(by_lapack, twostage.two_stage)
    if device.platform != "tpu":  # there is no lowering of `tridiagonal` for it
        found["tridiagonal, values there"] = partial(_by_jax, _tridiagonal_values, device)
        found["tridiagonal, values on host"] = partial(_by_both, device)
    if find_spec("torch") is not None:
        found["torch.eigvalsh"] = partial(_by_torch, device)
    return found


def by_lapack(
    reduce: Callable[[Matrices], tuple[NDArray[Any], NDArray[Any]]], matrices: Matrices
) -> NDArray[Any]:
    """The engine's own on a CPU, which chooses by the order: reduced, and `sterf`; one a core."""

    def one(matrix: NDArray[Any]) -> NDArray[Any]:
        return eigenvalues(Tridiagonal(*reduce(np.array(matrix, order="F"))))

    with one_thread_blas(), ThreadPoolExecutor(usable_cores()) as threads:
        return np.stack(list(threads.map(one, matrices)))


def _by_jax(
    decompose: Callable[[Array], Array], device: jax.Device, matrices: Matrices
) -> NDArray[Any]:
    with jax.enable_x64(matrices.dtype == np.float64), jax.default_device(device):
        return np.asarray(_program(decompose)(matrices))


def _by_both(device: jax.Device, matrices: Matrices) -> NDArray[Any]:
    with jax.enable_x64(matrices.dtype == np.float64), jax.default_device(device):
        diag, off = jax.device_get(_program(_tridiagonal)(matrices))
    with ThreadPoolExecutor(usable_cores()) as threads:
        wide = (part.astype(np.float64) for part in (diag, off))
        return np.stack(list(threads.map(eigenvalues, map(Tridiagonal, *wide))))


def _by_torch(device: jax.Device, matrices: Matrices) -> NDArray[Any]:
    torch: Any = import_module("torch")
    where = "cuda" if device.platform == "gpu" else "cpu"
    values: NDArray[Any] = torch.linalg.eigvalsh(torch.from_numpy(matrices).to(where)).cpu().numpy()
    return values


def _eigvalsh(matrices: Array) -> Array:
    values: Array = jnp.linalg.eigvalsh(matrices)
    return values


def _svdvals(matrices: Array) -> Array:
    values: Array = jnp.linalg.svd(matrices, compute_uv=False)
    return values


def _tridiagonal(matrices: Array) -> tuple[Array, Array]:
    _, diag, off, _ = lax.linalg.tridiagonal(matrices, lower=True)
    return diag, off


def _tridiagonal_values(matrices: Array) -> Array:
    one = partial(eigh_tridiagonal, eigvals_only=True)
    values: Array = jax.vmap(one)(*_tridiagonal(matrices))
    return values


@cache
def _program(decompose: Callable[..., Any]) -> Any:
    return jax.jit(decompose)
