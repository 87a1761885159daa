"""Standard errors over blocks of traces, from what each trace moves.

Weights w_t on the traces make every statistic a function theta(w); all ones is the data. The
infinitesimal jackknife (Jaeckel 1972; Efron 1982, The Jackknife, the Bootstrap and Other
Resampling Plans, chapter 6) takes its derivatives: U_b = sum of d theta / d w_t over the traces of
block b, and

    se^2 = k / (k - 1) * sum_b U_b^2

over the k blocks that have rows. Leaving block b out moves theta by about -U_b; the factor makes
both agree for a mean. Statistics of a spectrum do not change with its scale, so the U_b sum to 0.
"""

from __future__ import annotations

import numpy as np

from spectra.linalg import F64
from spectra.uncertainty.blocks import Blocks


def variances(influences: F64, count: int, blocks: Blocks) -> F64:
    """First-order variances [M].

    Args:
        influences: [T, M] derivatives of M statistics by the weight of each trace.
        count: how many blocks have rows, two or more.
        blocks: which traces belong together.
    """
    squares = (blocks.sums(influences) ** 2).sum(axis=0)
    return np.asarray(squares * count / (count - 1))
