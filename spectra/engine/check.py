"""What fast precision costs, measured: some groups of a pool once more, exactly, on the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from spectra.grouping import Group
from spectra.host_metrics import summary_of_rows, summary_of_values
from spectra.linalg import F64, Spectra
from spectra.statistics import Convention

CHECKED_ROWS = {"moments": 8192, "rows": 2048}
"""Larger groups are not read again: at d = 4096 these take 0.3 GB, and some seconds each."""

COMPARED = ("rankme", "rankme_sigma", "alpha_req")


def to_check(groups: Iterable[Group], spectra: Mapping[Group, Spectra], seed: int) -> list[Group]:
    """A group of each kind, chosen by the seed: of those kept as moments, or else as rows."""
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, list[Group]]] = {}
    for group in groups:
        solved = spectra.get(group)
        if solved is not None and 1 < solved.rows <= CHECKED_ROWS.get(solved.method, 0):
            found.setdefault(group.kind, {}).setdefault(solved.method, []).append(group)
    same = [methods.get("moments") or methods["rows"] for methods in found.values()]
    return [some[int(rng.integers(len(some)))] for some in same]


def relative_error(values: F64, rows: F64, convention: Convention) -> float:
    """The largest relative error of rankme, rankme_sigma and alpha from these squared values.

    The truth is computed from the group's rows [n, d] in float64; a statistic that one of the two
    has and the other has not counts as 1.
    """
    found = summary_of_values(values, len(rows), rows.shape[1], convention)
    truth = summary_of_rows(rows, convention)
    largest = 0.0
    for name in COMPARED:
        a, b = float(getattr(found, name)), float(getattr(truth, name))
        if np.isnan(a) != np.isnan(b):
            return 1.0
        if a != b and not np.isnan(a):
            largest = max(largest, abs(a - b) / abs(b))
    return largest
