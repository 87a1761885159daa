"""Values and their intervals, as the fields of a chart's rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from scipy.special import stdtrit  # scipy.stats takes a second to import

from spectra.record import Record

METRICS = ("rankme", "rankme_sigma", "alpha_req")
"""The metrics that a page can show, the first one first."""

TITLES = {
    "rankme": "effective rank (rankme)",
    "rankme_sigma": "effective rank of singular values (rankme_sigma)",
    "alpha_req": "decay exponent (alpha_req)",
}

LEAST_RANK = 1.0

Fields = dict[str, Any]


@cache
def t_quantile(blocks: int) -> float:
    """Of Student's t with blocks - 1 degrees of freedom, for 95 % intervals."""
    return float(stdtrit(blocks - 1, 0.975))


def of_record(record: Record) -> Fields:
    """Each metric with the ends of its 95 % interval, value ± t se; null where there is none."""
    fields: Fields = {}
    for name in METRICS:
        se, ceiling = (record.se or {}).get(name), record.rank_ceiling
        fields |= interval(name, getattr(record, name), se, record.num_blocks, ceiling)
    return fields


def of_draws(point: Mapping[str, Any], repeats: int, ceiling: int) -> Fields:
    """The same of a mean over draws: the squares of its two errors added."""
    fields: Fields = {}
    for name in METRICS:
        se, sd = (point["se"] or {}).get(name), point["sd"][name]
        spread = 0.0 if sd is None else sd / math.sqrt(repeats)
        whole = None if se is None else math.hypot(se, spread)
        fields |= interval(name, point["mean"][name], whole, point["num_blocks"], ceiling)
    return fields


def interval(
    name: str, value: float | None, se: float | None, blocks: int | None, ceiling: int
) -> Fields:
    """`name`, `name_low` and `name_high`, within 1 and the ceiling if it is an effective rank."""
    if value is None or se is None or blocks is None or blocks < 2:
        return {name: value, f"{name}_low": None, f"{name}_high": None}
    reach = t_quantile(blocks) * se
    low, high = value - reach, value + reach
    if name != "alpha_req":
        low, high = max(low, LEAST_RANK), max(value, min(high, float(ceiling)))
    return {name: value, f"{name}_low": low, f"{name}_high": high}
