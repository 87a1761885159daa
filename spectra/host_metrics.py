"""Spectra of one in-memory group on the host, by the cheapest route that meets the accuracy bar."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.backend import one_thread_blas, own_threads_blas
from spectra.backend.host import HostBackend, reduced_moments, reduced_rows
from spectra.backend.sums import Sums
from spectra.finite import nonfinite_rows
from spectra.linalg import (
    F64,
    Method,
    Spectra,
    normalised_rows,
    solve,
    spectra_of_blocks,
    zero_length,
)
from spectra.moments import Moments
from spectra.route import DEFAULT_ALPHA_RANKS
from spectra.statistics import Convention, Summary, summarise
from spectra.uncertainty import Blocks, Carried, Weights

SAFE = 200
"""Binary exponents up to which squares of float64 values, and squares of those, are harmless."""

PILOT_ROWS = 1024
CARRIED_ROWS = 4096

SPREAD_ORDER = 1280
"""Order from which a lone reduction gains more by BLAS's threads than their spinning costs what
follows: on two cores the routes of 8,192 rows took 0.80 s and 0.68 s at d = 2048, and 0.20 s and
0.22 s at d = 896 (14,336 rows)."""


class UnresolvedSpectrumWarning(UserWarning):
    """Moments cannot resolve the tail of a spectrum, and there are no rows to fall back on."""


def float_rows(x: NDArray[Any]) -> NDArray[Any]:
    """Rows as the functions here take them: as they are if of float64 or a smaller float type."""
    return x if x.dtype.kind in "fV" and x.dtype.itemsize <= 8 else x.astype(np.float64)


def spectra_of(x: NDArray[Any], alpha_ranks: tuple[int, int]) -> Spectra:
    """The spectra of finite rows x [n, d], n >= 1, by Gram matrix or, if that falls short, SVD.

    Rows of any float type: they are converted block by block, on their way into products.
    """
    (rows, dim), host = x.shape, _host()
    method: Method = "rows" if rows <= dim else "moments"
    with one_thread_blas():
        if method == "rows":
            reduced = reduced_rows(x, host.threads, host.cores)
        else:
            shift = _pilot(x)
            sums = host.accumulate(host.zeros(dim), x, shift)
            with own_threads_blas() if dim >= SPREAD_ORDER else nullcontext():
                reduced = reduced_moments(sums, shift, overwrite=True)
        solved = solve(reduced, rows, dim, method, alpha_ranks, threads=host.threads)
    if solved.resolved:
        return solved
    return solved.repaired_by(spectra_of_blocks(lambda: [x.astype(np.float64)], dim))


def _pilot(x: NDArray[Any]) -> F64:
    """A shift [d] near the mean: that of evenly spaced rows. Any shift gives the same spectra."""
    some = x[np.linspace(0, len(x) - 1, min(PILOT_ROWS, len(x))).astype(int)]
    return np.asarray(some.astype(np.float64).mean(axis=0))


@cache
def _host() -> HostBackend:
    return HostBackend()


def rescaled(x: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """x / 2^e and e, exactly, with entries up to 1: squares neither overflow nor underflow."""
    if x.dtype.itemsize < 8:  # the exponents of smaller types are harmless
        return x, 0
    exponent = int(np.frexp(np.abs(x).max(initial=0.0))[1])
    return (np.ldexp(x, -exponent), exponent) if abs(exponent) > SAFE else (x, 0)


def spectra_of_moments(moments: Moments, alpha_ranks: tuple[int, int]) -> Spectra:
    """The spectra of rows known by moments only; warns if those cannot resolve the tail."""
    gram, shift = np.asfortranarray(moments.gram), np.asarray(moments.shift)
    with one_thread_blas():
        reduced = reduced_moments(Sums(moments.rows, np.asarray(moments.total), gram), shift)
        held = max(reduced.shift_energy, float(moments.held))
        reduced = reduced._replace(shift_energy=held)
        solved = solve(reduced, moments.rows, len(gram), "moments", alpha_ranks)
    if not solved.resolved:
        warnings.warn(
            f"moments of {moments.rows} rows cannot resolve the tail of this spectrum: statistics "
            f"may be off by {solved.error:.1e} relative. Pass the rows for an exact result.",
            UnresolvedSpectrumWarning,
            stacklevel=3,
        )
    return solved


def carried_by_blocks(
    x: NDArray[Any], labels: NDArray[Any], chosen: Convention
) -> tuple[Carried, Blocks]:
    """What blocks of finite rows x [n, d], n >= 1, carry of a convention's metrics.

    Rows with the same of the labels [n] are a block. The convention must not normalise rows.
    """
    names, block = np.unique(labels, return_inverse=True)
    blocks = Blocks("trace", np.arange(len(names)))
    x, _ = rescaled(x)
    (rows, dim), host = x.shape, _host()
    weights = Weights.of(chosen, dim, len(names))
    if rows <= dim:
        found = host.carried_by_few(x, chosen.centered, weights)
    else:
        shift = _pilot(x)
        with one_thread_blas():
            sums = host.accumulate(host.zeros(dim), x, shift)
        axes = host.axes(sums, shift, chosen.centered, weights)
        parts = (x[start : start + CARRIED_ROWS] for start in range(0, rows, CARRIED_ROWS))
        found = np.concatenate([host.carried(part, [axes])[0] for part in parts])
    return Carried.of(found, block, len(names), blocks), blocks


def eigenvalues_of(x: NDArray[Any], chosen: Convention) -> tuple[F64, str]:
    """What a convention's statistics of finite rows x [n, d], n >= 1, rest on, and the method."""
    x, _ = rescaled(x)
    if chosen.row_norm:
        x = x.astype(np.float64)
        zero = zero_length(len(x), x.shape[1], float(np.vdot(x, x)))
        x = normalised_rows(x, x.mean(axis=0), zero)
    spectra = spectra_of(x, chosen.alpha_ranks or DEFAULT_ALPHA_RANKS)
    return convention_values(spectra, chosen), spectra.method


def summary_of_rows(x: NDArray[Any], chosen: Convention) -> Summary:
    """The statistics of rows [n, d], n >= 0, which may hold NaN or infinity; scalars."""
    if len(x) and len(nonfinite_rows(x)) == 0:
        values, _ = eigenvalues_of(x, chosen)
    else:
        values = np.full(1, np.nan if len(x) else 0.0)
    return summary_of_values(values, len(x), x.shape[1], chosen)


def summary_of_values(values: F64, rows: int, dim: int, chosen: Convention) -> Summary:
    """The statistics of one spectrum of n rows of width d; scalars.

    Conventions that count min(n, d) values see the one that centring takes away as a zero.
    """
    padded = np.zeros(max(len(values), min(rows, dim), 1))
    padded[: len(values)] = values
    return summarise(padded, np.int64(rows), dim, chosen)


def convention_values(spectra: Spectra, chosen: Convention) -> F64:
    """The squared singular values that a convention counts (of rows already normalised)."""
    raw = chosen.row_norm or not chosen.centered
    return spectra.uncentered if raw else spectra.centered
