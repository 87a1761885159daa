"""Many p-values at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number, those that are None left out of it.

    The j-th smallest of m is multiplied by m - j + 1, and none is below the one before it (Holm
    1979, "A simple sequentially rejective multiple test procedure").
    """
    known = [(p, place) for place, p in enumerate(values) if p is not None]
    adjusted: list[float | None] = [None] * len(values)
    least = 0.0
    for rank, (p, place) in enumerate(sorted(known)):
        least = max(least, min(1.0, p * (len(known) - rank)))
        adjusted[place] = least
    return adjusted
