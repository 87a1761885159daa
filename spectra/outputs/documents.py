"""The four files of a pool as plain dicts, in the published layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spectra.grouping import SEGMENTS, Atoms, DepthMode, Group
from spectra.outputs.groups import PoolRecords
from spectra.sampling import Sampling
from spectra.uncertainty import MANY_BLOCKS, Blocks

FORMAT_VERSION = 1
FILES = (
    "basic_metrics.json",
    "depth_profile.json",
    "token_count_sweep.json",
    "svd_vs_covariance.json",
)

BASIC_KINDS = {
    "segments": "segment",
    "categories": "category",
    "segment_categories": "segment_category",
}
DEPTH_KINDS = {"bins": "bin", "segments": "segment_bin", "categories": "category_bin"}
"""The kinds of groups in a file that are compared, by their names there."""

CATEGORY_PREFIX = "category:"
"""Of the sweep's curves, sets a category apart that is named like a fixed curve."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the four files of a pool share."""

    model: str
    layer: int
    final_norm: bool | None
    pool: str
    dim: int
    convention: Mapping[str, Any]
    precision: str
    categories: Mapping[str, Any]
    left_out: Mapping[str, Any]
    standard_errors: Mapping[str, Any] | None

    def asdict(self) -> dict[str, Any]:
        """The head in file order."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {"format_version": FORMAT_VERSION, **fields}


FIRST_ORDER = "infinitesimal jackknife: first order in the weight of each block of traces"
EXACT = "delete-one-block jackknife (Busing et al. 1999) for records; for draws first order"


def jackknife_head(blocks: Blocks, *, exact: bool = False) -> dict[str, Any]:
    """How standard errors were found."""
    corrected = len(blocks) < MANY_BLOCKS
    return {
        "method": EXACT if exact else FIRST_ORDER,
        "alpha_req": "less what a jackknife counts twice" if corrected else "as the others",
        "unit": blocks.unit,
        "blocks": len(blocks),
        "intervals": "value +- t quantile with num_blocks - 1 degrees of freedom * se",
    }


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """How the matched-count subsamples were drawn."""

    counts: tuple[int, ...]
    repeats: int
    seed: int
    pool: str
    sampling: Sampling

    def asdict(self) -> dict[str, Any]:
        """The sweep's own head."""
        unit = "token" if self.pool == "all" else "step"
        return {
            "counts": list(self.counts),
            "repeats": self.repeats,
            "seed": self.seed,
            "sampling": {
                "unit": unit if self.sampling == "row" else self.sampling,
                "replacement": False,
                "nested": True,
                "keys": "PCG64 seeded by SHA-256 of seed, file, pool, group and repeat",
            },
        }


def documents(
    head: Head, atoms: Atoms, records: PoolRecords, sweep: SweepOptions, depth: DepthMode
) -> dict[str, dict[str, Any]]:
    """File name to content, for the four files."""
    shared = head.asdict()

    def record(group: Group) -> dict[str, Any]:
        return records.records[group].asdict()

    def bins(segment: str | None, category: str | None, kind: str) -> list[dict[str, Any]]:
        return [record(Group(kind, segment, category, b)) for b in range(atoms.num_bins)]

    depths = {
        "num_bins": atoms.num_bins,
        "depth": depth,
        "edges": [b / atoms.num_bins for b in range(atoms.num_bins + 1)],
        "bins": bins(None, None, "bin"),
        "segments": {s: {"bins": bins(s, None, "segment_bin")} for s in SEGMENTS},
        "categories": {c: {"bins": bins(None, c, "category_bin")} for c in atoms.categories},
    }
    curves = {curve_name(g): records.curves[g] for g in atoms.sweep_groups()}
    contents = (
        {**basic_layout(atoms, record), **_matched(records, BASIC_KINDS)},
        {**depths, **_matched(records, DEPTH_KINDS)},
        {**sweep.asdict(), "curves": curves},
        basic_layout(atoms, records.routes.__getitem__),
    )
    return {name: {**shared, **part} for name, part in zip(FILES, contents, strict=True)}


def _matched(records: PoolRecords, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Groups of a kind beside one another at one count, where that was asked for."""
    if not records.matched:
        return {}
    return {"matched": {name: records.matched[kind] for name, kind in kinds.items()}}


def basic_layout(atoms: Atoms, of: Callable[[Group], dict[str, Any]]) -> dict[str, Any]:
    """The basic groups in their nesting: global, segments, categories, segment_categories."""
    return {
        "global": of(Group("global")),
        "segments": {s: of(Group("segment", s)) for s in SEGMENTS},
        "categories": {c: of(Group("category", None, c)) for c in atoms.categories},
        "segment_categories": {
            s: {c: of(Group("segment_category", s, c)) for c in atoms.categories} for s in SEGMENTS
        },
    }


def curve_name(group: Group) -> str:
    """The key of a sweep curve."""
    return group.segment or "global" if group.category is None else category_name(group.category)


def category_name(category: str) -> str:
    """The category's label, with a prefix where it is named like all rows or like a segment."""
    taken = category in ("global", *SEGMENTS) or category.startswith(CATEGORY_PREFIX)
    return f"{CATEGORY_PREFIX}{category}" if taken else category
