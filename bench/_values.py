"""What a run and its peers say of each group, by the same keys, and how far off they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench._timing import figure
from bench.baseline import POOLS, Values

CHECKED = ("rankme", "alpha_req", "cov_centered", "svd_centered", "svd_uncentered")


def our_values(directory: Path) -> dict[str, Values]:
    """What the files of a run say of each group with a spectrum, under the baseline's keys."""
    found: dict[str, Values] = {}
    for pool in POOLS:
        folder = directory / f"pool_{pool}"
        metrics, routes, depth = (
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("basic_metrics", "svd_vs_covariance", "depth_profile")
        )
        key = partial(_key, pool)
        for name, record in _basic(metrics, key):
            found[name] = _values(record)
        for name, record in _basic(routes, key):
            found[name] |= {route: record[route]["effective_rank"] for route in CHECKED[2:]}
        for b, record in enumerate(depth["bins"]):
            found[key("bin", None, None, b)] = _values(record)
        for segment, of_segment in depth["segments"].items():
            for b, record in enumerate(of_segment["bins"]):
                found[key("segment_bin", segment, None, b)] = _values(record)
        for category, of_category in depth["categories"].items():
            for b, record in enumerate(of_category["bins"]):
                found[key("category_bin", None, category, b)] = _values(record)
    return {name: values for name, values in found.items() if values["rankme"] is not None}


def _key(pool: str, kind: str, *labels: str | int | None) -> str:
    return "/".join([pool, kind, *("" if label is None else str(label) for label in labels)])


def _basic(document: Mapping[str, Any], key: Any) -> Iterator[tuple[str, Any]]:
    yield key("global", None, None, None), document["global"]
    for segment, record in document["segments"].items():
        yield key("segment", segment, None, None), record
    for category, record in document["categories"].items():
        yield key("category", None, category, None), record
    for segment, categories in document["segment_categories"].items():
        for category, record in categories.items():
            yield key("segment_category", segment, category, None), record


def _values(record: Mapping[str, Any]) -> Values:
    return {"rankme": record["rankme"], "alpha_req": record["alpha_req"]}


def chosen_groups(found: Mapping[str, Values]) -> list[str]:
    """One group of each kind and pool, by a fixed seed."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name in found:
        kinds.setdefault(tuple(name.split("/")[:2]), []).append(name)
    rng = np.random.default_rng(0)
    return [names[rng.integers(len(names))] for names in kinds.values()]


def largest_errors(
    found: Mapping[str, Values], true: Mapping[str, Values]
) -> dict[str, float | None]:
    """The largest relative error of each statistic over the groups whose truth is known."""

    def errors(statistic: str) -> Iterator[float]:
        for name, values in true.items():
            value, expected = found.get(name, {}).get(statistic), values.get(statistic)
            if value is not None and expected is not None:
                yield abs(value / expected - 1)

    largest = {statistic: max(errors(statistic), default=None) for statistic in CHECKED}
    return {name: None if error is None else figure(error) for name, error in largest.items()}
