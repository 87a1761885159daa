"""How the statistics move with the eigenvalues: the metrics' own derivatives, by JAX."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.statistics._namespace import Array
from spectra.statistics.convention import Convention
from spectra.statistics.summary import METRICS, summarise


@dataclass(frozen=True, slots=True)
class Gradient:
    """d metric / d eigenvalue of spectra of rows of width dim, under one convention.

    Called with eigenvalues [K], descending, K <= dim, and the number of rows, it gives [METRICS, K]
    float64. A metric that is not defined for the spectrum has zeros. Traceable.
    """

    convention: Convention
    dim: int

    def __call__(self, eigenvalues: Array, rows: Array) -> Array:
        """The derivatives at these eigenvalues of n rows."""
        import jax
        import jax.numpy as jnp

        def metrics(values: Array) -> Array:
            found = summarise(values, rows, self.dim, self.convention)
            stacked = jnp.stack([getattr(found, name) for name in METRICS])
            return jnp.where(jnp.isnan(stacked), 0.0, stacked)

        gradient = jax.jacrev(metrics)(eigenvalues)
        # What is exactly zero stays zero: rank cannot be gained by reweighting rows.
        return jnp.where((eigenvalues > 0)[None], gradient, 0.0)

    def on_host(self, eigenvalues: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        """The same for NumPy arrays, by one program compiled for the width."""
        import jax

        padded = np.zeros(self.dim)
        padded[: len(eigenvalues)] = eigenvalues
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            found = np.asarray(_program()(self, padded, np.int64(rows)))
        return found[:, : len(eigenvalues)]


@cache
def _program() -> Any:
    import jax

    return jax.jit(Gradient.__call__, static_argnums=0)
