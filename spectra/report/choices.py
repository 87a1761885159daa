"""What a reader of the page can choose, and what is chosen at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spectra.report.sources import Shown
from spectra.report.values import METRICS, TITLES, Fields

PRIMARY = 0
"""As a layer: each model's primary one."""

SEGMENTS = ""
"""As a group: all rows and the segments."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice: its name in the charts, its title, its options as value and text, and the first."""

    name: str
    title: str
    options: Sequence[tuple[Any, str]]
    initial: Any


def choices(models: Sequence[Shown], rows: Sequence[Fields]) -> list[Choice]:
    """The choices for models whose groups are `rows`, starting where there is something to see."""
    pools = list(dict.fromkeys(pool for one in models for pool in one.result.pools))
    pool = "all" if "all" in pools else pools[0]
    first = [row for row in rows if row["pool"] == pool and row["primary"]]
    metrics = [one for one in METRICS if any(row[one] is not None for row in first)]
    layers = sorted({layer for one in models for layer in one.detailed})
    primaries = ", ".join(map(str, sorted({one.result.primary for one in models})))
    groups = sorted({row["group"] for row in rows if row["kind"] == "category"})
    numbered = [(layer, str(layer)) for layer in layers]
    named = [(group, group) for group in groups]
    return [
        Choice("metric", "Metric", list(TITLES.items()), [*metrics, *METRICS][0]),
        Choice("pool", "Pool", [(one, one) for one in pools], pool),
        Choice("layer", "Layer", [(PRIMARY, f"primary ({primaries})"), *numbered], PRIMARY),
        Choice("group", "Category", [(SEGMENTS, "all rows and segments"), *named], SEGMENTS),
    ]
