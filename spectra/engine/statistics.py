"""Spectra to statistics in batches: one compiled program a convention, static shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra.linalg import F64
from spectra.route import route_conventions
from spectra.statistics import Convention, Summary, summarise

BATCH = 256


def statistics(
    spectra: Sequence[F64], rows: Sequence[int], dim: int, convention: Convention, platform: str
) -> Summary:
    """Statistics of many spectra of different lengths (each at most dim) under one convention.

    Args:
        spectra: squared singular values, descending; NaN throughout for a non-finite group.
        rows: how many rows each group has.
        dim: the rows' width.
        convention: the convention of all of them.
        platform: JAX platform to compute on, in float64 (TPUs have none: theirs run on the host).

    Returns:
        A `Summary` of NumPy arrays [len(spectra)].
    """
    import jax

    device = jax.local_devices(backend="cpu" if platform == "tpu" else platform)[0]
    parts: list[Summary] = []
    with jax.enable_x64(True), jax.default_device(device):
        for start in range(0, max(len(spectra), 1), BATCH):
            some = slice(start, start + BATCH)
            values, counts = _padded(spectra[some], rows[some], dim)
            parts.append(jax.device_get(program()(values, counts, dim=dim, convention=convention)))
    columns = (np.concatenate(column)[: len(spectra)] for column in zip(*parts, strict=True))
    return Summary(*columns)


def compile_ahead(dim: int, convention: Convention, platform: str) -> None:
    """Compile what a pool's statistics and its routes' run: for a thread beside other work."""
    for one in (convention, *route_conventions(convention)):
        statistics([], [], dim, one, platform)


@cache
def program() -> Any:
    """`summarise`, compiled once for each width and convention."""
    import jax

    return jax.jit(summarise, static_argnames=("dim", "convention"))


def _padded(spectra: Sequence[F64], rows: Sequence[int], dim: int) -> tuple[F64, NDArray[np.int64]]:
    values = np.zeros((BATCH, dim))
    for place, spectrum in enumerate(spectra):
        values[place, : len(spectrum)] = spectrum
    counts = np.zeros(BATCH, np.int64)
    counts[: len(rows)] = rows
    return values, counts
