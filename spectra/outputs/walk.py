"""A run's documents, group by group: the way back from the files' nesting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spectra.grouping import SEGMENTS, Group
from spectra.outputs.documents import BASIC_KINDS, CATEGORY_PREFIX, DEPTH_KINDS

Entry = Mapping[str, Any]


def basic_entries(document: Entry) -> Iterator[tuple[Group, Entry]]:
    """Of basic_metrics.json or svd_vs_covariance.json, what each group has, in file order."""
    yield Group("global"), document["global"]
    for segment, entry in document["segments"].items():
        yield Group("segment", segment), entry
    for category, entry in document["categories"].items():
        yield Group("category", None, category), entry
    for segment, entries in document["segment_categories"].items():
        for category, entry in entries.items():
            yield Group("segment_category", segment, category), entry


def depth_entries(document: Entry) -> Iterator[tuple[Group, Entry]]:
    """Of depth_profile.json, the record of each bin, in file order."""
    for number, entry in enumerate(document["bins"]):
        yield Group("bin", None, None, number), entry
    for segment, profile in document["segments"].items():
        for number, entry in enumerate(profile["bins"]):
            yield Group("segment_bin", segment, None, number), entry
    for category, profile in document["categories"].items():
        for number, entry in enumerate(profile["bins"]):
            yield Group("category_bin", None, category, number), entry


def curves(document: Entry) -> Iterator[tuple[Group, list[Entry]]]:
    """Of token_count_sweep.json, the points of each group, in file order."""
    for name, points in document["curves"].items():
        if name == "global":
            yield Group("global"), points
        elif name in SEGMENTS:
            yield Group("segment", name), points
        else:
            yield Group("category", None, name.removeprefix(CATEGORY_PREFIX)), points


def profile_entries(pool: Entry) -> Iterator[tuple[Group, list[Entry]]]:
    """Of a pool in layer_profile.json, the points of each group, in file order."""
    yield Group("global"), pool["global"]
    for segment, points in pool["segments"].items():
        yield Group("segment", segment), points
    for category, points in pool["categories"].items():
        yield Group("category", None, category), points


def matched_kinds(document: Entry) -> Iterator[tuple[str, Entry]]:
    """The comparisons at matched counts by kind of group; none where they were not asked for."""
    names = DEPTH_KINDS if "bins" in document else BASIC_KINDS
    for name, compared in document.get("matched", {}).items():
        yield names[name], compared


def matched_entries(document: Entry) -> Iterator[tuple[Group, int, Entry]]:
    """Each group compared at a matched count, with that count."""
    for kind, compared in matched_kinds(document):
        for entry in compared["groups"]:
            group = Group(kind, entry["segment"], entry["category"], entry["bin"])
            yield group, compared["count"], entry
