"""The half-sample correction of the entropy of eigenvalues, traces being split.

A finite sample's spectrum is more uneven than its population's: the entropy H(n) falls short by
about c / n. Halves of the traces, with m_1 and m_2 rows, fall short by more, and what they do tells
c (Quenouille 1956, "Notes on bias in estimation"):

    H_c = H(n) + (H(n) - mean H(m)) * (1 / n) / (mean 1 / m - 1 / n)

which for halves of equal size is 2 H(n) - mean H(n / 2). Below n = 2 d the shortfall is not of that
form, and the correction makes things worse: there is none. Nor is there from a split that leaves
one half of a group less than a quarter of its rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spectra.grouping import Ints

HALVED_FROM = 2
"""Rows over width from which groups are corrected."""


def split_in_halves(
    sizes: NDArray[np.floating | np.integer], pool: str, split: int, seed: int
) -> Ints:
    """[B] 0 or 1: blocks of these sizes [B], in random order, each to the half with fewer rows."""
    key = f"{seed}\0half_sample\0{pool}\0{split}"
    bits = np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest(), "big"))
    keys = np.asarray(bits.random_raw(len(sizes)))
    halves, filled = np.zeros(len(sizes), np.int64), [0.0, 0.0]
    for block in np.argsort(keys, kind="stable").tolist():
        halves[block] = int(filled[1] < filled[0])
        filled[halves[block]] += float(sizes[block])
    return halves


def even_enough(sizes: Ints) -> bool:
    """Whether the smaller half [2] has a quarter of the rows: traces share groups out unevenly."""
    return len(sizes) == 2 and 4 * int(sizes.min()) >= int(sizes.sum())


def corrected_rank(
    whole: float, halves: Sequence[float], sizes: Sequence[float], rows: int
) -> float:
    """exp(H_c).

    Args:
        whole: exp(H(n)).
        halves: exp(H(m)) of each half.
        sizes: their rows m.
        rows: n.
    """
    entropy = math.log(whole)
    fallen = entropy - float(np.mean(np.log(halves)))
    inverse = float(np.mean(1 / np.asarray(sizes, np.float64)))
    return math.exp(entropy + fallen / rows / (inverse - 1 / rows))
