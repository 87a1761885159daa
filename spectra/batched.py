"""Metrics of many groups at once, as one JAX program: usable under `jit`, on any device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.linalg.resolution import EPS, ROUNDING, TOLERABLE, statistic_error
from spectra.route import DEFAULT_ALPHA_RANKS
from spectra.statistics import METRICS, Array, Convention, Summary, summarise


@dataclass(frozen=True, slots=True, eq=False)
class BatchedRecord:
    """Metrics of a batch of groups, every field an array [batch], NaN where a value is undefined.

    `status` holds codes into `spectra.STATUSES`. `error` is the first-order bound of what rounding
    in the Gram matrix may have done to the statistics, relative: above 5e-10 the tail of that
    spectrum is not resolved to the accuracy bar (outside of `jit`, such groups have been computed
    again by SVD, and it is 0). A JAX pytree.
    """

    rankme: Array
    rankme_sigma: Array
    alpha_req: Array
    alpha_req_r2: Array
    participation_ratio: Array
    stable_rank: Array
    top_share: Array
    num_rows: Array
    rank_ceiling: Array
    status: Array
    error: Array

    def asdict(self) -> dict[str, Array]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in NAMES}


NAMES = tuple(field.name for field in fields(BatchedRecord))


def jax_batch(xs: Array, mask: Array | None, chosen: Convention) -> BatchedRecord:
    """The record of JAX rows xs [batch, rows, dim], of which mask [batch, rows] says which exist.

    Traceable. Concrete groups that are not resolved are computed again from an SVD of their rows.
    """
    return jax_batch_and_repairs(xs, mask, chosen)[0]


def jax_batch_and_repairs(
    xs: Array, mask: Array | None, chosen: Convention
) -> tuple[BatchedRecord, NDArray[np.intp]]:
    """`jax_batch`, with the numbers of the groups that an SVD was taken of."""
    import jax

    repaired = np.empty(0, np.intp)

    wide = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    with jax.enable_x64(True):
        if mask is None:
            mask = jax.numpy.ones(xs.shape[:2], bool)
        if xs.shape[1] == 0:
            # One row that does not exist, so that there is something to reduce.
            xs = jax.numpy.pad(xs, ((0, 0), (0, 1), (0, 0)))
            mask = jax.numpy.pad(mask, ((0, 0), (0, 1)))
        record = _program()(xs, mask, chosen)
        if not any(isinstance(array, jax.core.Tracer) for array in (xs, mask)):
            repaired = np.flatnonzero(np.asarray(record.error) > TOLERABLE)
            if len(repaired):
                record = _repaired(record, repaired, xs, mask, chosen)
        return (record if wide else _narrow(record)), repaired


@cache
def _program() -> Any:
    """The jitted batch, with `BatchedRecord` made known to JAX."""
    import jax

    jax.tree_util.register_dataclass(BatchedRecord, data_fields=list(NAMES), meta_fields=[])

    def batch(xs: Array, mask: Array, chosen: Convention) -> BatchedRecord:
        return jax.vmap(lambda x, valid: _one(x, valid, chosen))(xs, mask)

    return jax.jit(batch, static_argnums=2)


def _one(rows: Array, valid: Array, chosen: Convention) -> BatchedRecord:
    """One group of padded rows [m, d], of which those with valid [m] exist."""
    import jax.numpy as jnp

    count = valid.sum()
    x = jnp.where(valid[:, None], rows.astype(jnp.float64), 0.0)
    finite = jnp.isfinite(x).all()
    x = jnp.where(finite, x, 0.0)
    # A power of two, so exact: on any scale the squares, and the solver's, stay in range.
    x = jnp.ldexp(x, -jnp.frexp(jnp.abs(x).max())[1])
    size = jnp.maximum(count, 1).astype(jnp.float64)
    squares, energy, noise = _squares(x, valid, size, chosen)
    cut = (jnp.maximum(size, float(x.shape[1])) * EPS) ** 2 * energy
    lost = 1 if chosen.centered and not chosen.row_norm else 0
    exists = jnp.clip(count - lost, 0, x.shape[1])
    kept = jnp.where((squares > cut) & (jnp.arange(len(squares)) < exists), squares, 0.0)
    ranks = chosen.alpha_ranks or DEFAULT_ALPHA_RANKS
    error = statistic_error(squares, exists, noise, ranks)
    summary = summarise(jnp.where(finite, kept, jnp.nan), count, x.shape[1], chosen)
    return _record(summary, count, jnp.where(finite & (count > 0), error, 0.0))


def _squares(
    x: Array, valid: Array, count: Array, chosen: Convention
) -> tuple[Array, Array, Array]:
    """Squared singular values, descending, with |X|_F^2 and the rounding noise of the values."""
    import jax.numpy as jnp

    from spectra.backend import device

    if chosen.row_norm:
        mean = x.sum(axis=0) / count
        z = jnp.where(valid[:, None], x - mean[None], 0.0)
        lengths = jnp.linalg.norm(z, axis=1)
        zero = lengths <= jnp.maximum(count, float(x.shape[1])) * EPS * jnp.linalg.norm(x)
        x = jnp.where(zero[:, None], 0.0, z / jnp.where(zero, 1.0, lengths)[:, None])
    raw = chosen.row_norm or not chosen.centered
    if len(x) <= x.shape[1]:
        # A padding row among the valid ones would break the reflection: valid rows go first.
        order = jnp.argsort(~valid, stable=True)
        k, energy, mean_energy = device.rows_gram(x[order], count)
        diag, off = device.tridiagonal(k)
        squares = _values(diag, off) if raw else _values(diag[1:], off[1:])
    else:
        mean = x.sum(axis=0) / count
        z = jnp.where(valid[:, None], x - mean[None], 0.0)
        scatter = jnp.matmul(z.T, z, precision=device.HIGHEST)
        diag, off = device.reduce_along(scatter, mean)
        mean_energy = count * (mean @ mean)
        energy = jnp.trace(scatter) + mean_energy
        squares = _values(diag.at[0].add(mean_energy) if raw else diag, off)
    # Conventions that count min(n, d) values see the one that centring takes away as a zero.
    squares = jnp.pad(squares, (0, max(min(x.shape) - len(squares), 0)))
    return squares, energy, ROUNDING * EPS * squares[0]


def _values(diag: Array, off: Array) -> Array:
    """Eigenvalues of a tridiagonal in descending order, at least one (0 for an empty matrix)."""
    import jax.numpy as jnp
    from jax.scipy.linalg import eigh_tridiagonal

    if len(diag) < 2:
        return diag if len(diag) else jnp.zeros(1)
    return jnp.maximum(eigh_tridiagonal(diag, off, eigvals_only=True)[::-1], 0.0)


def _record(summary: Summary, count: Array, error: Array) -> BatchedRecord:
    values = {name: getattr(summary, name) for name in METRICS}
    return BatchedRecord(
        **values,
        num_rows=count,
        rank_ceiling=summary.rank_ceiling,
        status=summary.status,
        error=error,
    )


def _repaired(
    record: BatchedRecord, places: NDArray[np.intp], xs: Array, mask: Array, chosen: Convention
) -> BatchedRecord:
    """The same with the groups at these places computed on the host, from their rows."""
    import jax.numpy as jnp

    from spectra.host_metrics import summary_of_rows

    columns = {name: np.array(array) for name, array in record.asdict().items()}
    for place in places:
        rows = np.asarray(xs[place])[np.asarray(mask[place])].astype(np.float64)
        one = summary_of_rows(rows, chosen)
        for name in (*METRICS, "status"):
            columns[name][place] = getattr(one, name)
        columns["error"][place] = 0.0
    return BatchedRecord(**{name: jnp.asarray(column) for name, column in columns.items()})


def _narrow(record: BatchedRecord) -> BatchedRecord:
    """JAX's default types where 64-bit ones are off."""
    import jax.numpy as jnp

    def narrow(array: Array) -> Array:
        kind = jnp.float32 if jnp.issubdtype(array.dtype, jnp.floating) else jnp.int32
        return array.astype(kind)

    return BatchedRecord(**{name: narrow(array) for name, array in record.asdict().items()})
