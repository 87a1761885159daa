"""What blocks of traces carry of a group's statistics."""

from __future__ import annotations

from typing import NamedTuple

from spectra.linalg import F64


class Carried(NamedTuple):
    """Sums over the rows of each trace, and of each block.

    Attributes:
        by_trace: [T, METRICS] d metric / d weight of the trace.
        leverages: [B, R] the block's share of each eigenvalue in the range that alpha is fitted
            on; None where alpha has no range, or blocks are too many for its correction to matter.
    """

    by_trace: F64
    leverages: F64 | None

    def plus(self, other: Carried, share: float) -> Carried:
        """With a share of another's added, for averages over subsamples."""
        return Carried(
            self.by_trace + share * other.by_trace,
            None
            if self.leverages is None or other.leverages is None
            else self.leverages + share * other.leverages,
        )
