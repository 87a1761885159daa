"""Matched counts: nested random subsamples of a group's rows, independent of other groups.

Spectral statistics depend strongly on the number of rows, so groups are comparable only at equal
counts. A group's subsample of count c holds its c rows with the smallest random keys: without
replacement, and nested, since a larger count only adds rows. Where whole steps or traces are drawn,
the keys are theirs, and the last one gives only as many rows as are wanted. Keys come from the raw
output of PCG64 seeded by SHA-256 of (seed, file, pool, group, repeat), so adding a group, a count
or a repeat changes no other subsample.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spectra.grouping import Group, Ints

Sampling = Literal["row", "step", "trace"]
"""What is drawn: rows one by one, or all of a step's or a trace's that are in the group."""

SMALLEST_COUNT = 32
"""Rows that a subsample has at least, unless smaller counts are asked for."""

LARGEST_COUNT = 4096
"""Rows of a subsample that is not asked for by its count."""

CHUNK = 1 << 17
"""Keys that are drawn at a time, so that a large group's take no memory."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How subsamples are drawn: the options of a run that have these names."""

    counts: tuple[int, ...]
    repeats: int
    seed: int
    sampling: Sampling = "row"
    matched: bool = True


def default_counts(largest_group: int) -> tuple[int, ...]:
    """The geometric grid 32, 64, 128, ... up to 4096 or the largest group."""
    counts, count = [], SMALLEST_COUNT
    while count <= min(largest_group, LARGEST_COUNT):
        counts.append(count)
        count *= 2
    return tuple(counts)


def nested_sample(group: Group, rows: int, count: int, pool: str, repeat: int, seed: int) -> Ints:
    """Positions [count] among a group's rows, 0 <= position < rows; every prefix is a subsample."""
    bits = _bits(group, pool, repeat, seed, "row")
    keys, places = np.empty(0, np.uint64), np.empty(0, np.int64)
    for start in range(0, rows, CHUNK):
        here = np.arange(start, min(start + CHUNK, rows))
        keys = np.concatenate([keys, np.asarray(bits.random_raw(len(here)))])
        places = np.concatenate([places, here])
        if len(keys) > count:
            smallest = np.argpartition(keys, count - 1)[:count]
            keys, places = keys[smallest], places[smallest]
    return np.asarray(places[np.argsort(keys, kind="stable")])


def nested_units(
    group: Group,
    units: Ints,
    lengths: Ints,
    count: int,
    pool: str,
    repeat: int,
    seed: int,
    sampling: Sampling,
) -> Ints:
    """Positions [count] among a group's rows, drawn by the unit; every prefix is a subsample.

    Args:
        group: whose rows they are.
        units: [R] the unit of each run of its rows.
        lengths: [R] rows of each run, `count` or more together.
        count: how many positions.
        pool, repeat, seed: what else the draw depends on.
        sampling: what the units are: "step" or "trace".
    """
    distinct, own = np.unique(units, return_inverse=True)
    keys = np.asarray(_bits(group, pool, repeat, seed, sampling).random_raw(len(distinct)))
    runs = np.argsort(keys[own], kind="stable")
    ends = np.cumsum(lengths[runs])
    runs = runs[: int(np.searchsorted(ends, count)) + 1]
    begin = (np.cumsum(lengths) - lengths)[runs]
    return np.concatenate(
        [np.arange(low, low + length) for low, length in zip(begin, lengths[runs], strict=True)]
    )[:count]


def _bits(group: Group, pool: str, repeat: int, seed: int, sampling: Sampling) -> np.random.PCG64:
    labels = f"{group.kind}\0{group.segment}\0{group.category}"
    if group.bin is not None:
        labels += f"\0{group.bin}"
    unit = "" if sampling == "row" else f"\0{sampling}"
    key = f"{seed}\0token_count_sweep\0{pool}\0{labels}\0{repeat}{unit}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return np.random.PCG64(int.from_bytes(digest, "big"))
