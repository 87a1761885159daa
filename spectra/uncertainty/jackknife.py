"""Standard errors over blocks of traces, from what each trace moves.

Weights w_t on the traces make every statistic a function theta(w); all ones is the data. The
infinitesimal jackknife (Jaeckel 1972; Efron 1982, The Jackknife, the Bootstrap and Other
Resampling Plans, chapter 6) takes its derivatives: U_b = sum of d theta / d w_t over the traces of
block b, and

    se^2 = k / (k - 1) * sum_b U_b^2

over the k blocks that have rows. Leaving block b out moves theta by about -U_b; the factor makes
both agree for a mean. Statistics of a spectrum do not change with its scale, so the U_b sum to 0.

Exactly, with blocks of m_b of n rows and theta_(b) without block b, the delete-m_j jackknife of
Busing, Meijer and van der Leeden 1999 ("Delete-m jackknife for unequal m") has h_b = n / m_b,

    pseudo_b = h_b theta - (h_b - 1) theta_(b)
    theta_J = k theta - sum_b (1 - 1 / h_b) theta_(b)
    se^2 = 1 / k * sum_b (pseudo_b - theta_J)^2 / (h_b - 1)

Leaving a long trace out takes more rows away than a short one, and spectral statistics grow with
their number: plain deletion would count that as noise.
"""

from __future__ import annotations

import numpy as np

from spectra.grouping import Ints
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


def delete_block_variances(whole: F64, without: F64, sizes: Ints) -> F64:
    """Exact variances [M]; NaN where a value is.

    Args:
        whole: [M] statistics of all rows.
        without: [k, M] of the rows outside of each block, k >= 2.
        sizes: [k] rows of each block.
    """
    h = (sizes.sum() / sizes)[:, None]
    estimate = len(sizes) * whole - ((1 - 1 / h) * without).sum(axis=0)
    pseudo = h * whole - (h - 1) * without
    return np.asarray(((pseudo - estimate) ** 2 / (h - 1)).mean(axis=0))
