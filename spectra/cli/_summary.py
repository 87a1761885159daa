"""What a run found, in short: a table for people, a document for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from spectra.cli._tables import label_cell, new_table
from spectra.display import number
from spectra.results.records import group_name

if TYPE_CHECKING:
    from spectra.grouping import Group
    from spectra.pipeline import ModelRun, Profile
    from spectra.provenance import Accuracy
    from spectra.record import Record

_MOST_ROWS = 40
_KINDS = ("global", "segment", "category")


def summaries(run: ModelRun) -> Iterable[Table]:
    """One table a layer, of the pool "all" (or the first one there is)."""
    layers = sorted({layer for layer, _ in run.records})
    pools = [pool for layer, pool in run.records if layer == layers[0]]
    pool = "all" if "all" in pools else pools[0]
    for layer in layers:
        title = f"{run.model}, layer {layer}, pool {pool}"
        yield _summary(title, run.records[layer, pool], run.matched[layer, pool])


def closing(run: ModelRun) -> str:
    """Where the results are, and how many groups have none."""
    pools, layers = ({key[part] for key in run.records} for part in (1, 0))
    where = f"Results: {run.out}/ (4 metric files for each of {len(pools)} pools"
    where += f" and {len(layers)} layers" if len(layers) > 1 else ""
    where += ", layer_profile.json" if len(layers) > 1 else ""
    where += ", metrics.csv, run.json)"
    if run.accuracy.mode == "fast":
        where += f"\n{_fast(run.accuracy)}"
    if run.undefined:
        where += (
            f"\n{run.undefined} groups, depth bins included, have no value; "
            "each gives its reason in its record."
        )
    return where


def _fast(accuracy: Accuracy) -> str:
    if accuracy.measured_error is None:
        return f"Fast precision: within {accuracy.bound:g}; no group was small enough to measure."
    return (
        f"Fast precision: off by at most {accuracy.measured_error:.1e}, as measured on "
        f"{accuracy.groups_checked} groups (the bound is {accuracy.bound:g})."
    )


def profile_table(model: str, profile: Profile) -> Table:
    """Wall time a stage, and within the main one the threads' seconds a kind of work."""
    table = new_table(f"{model}: where the time went", "stage", "seconds", "thread seconds")
    for stage, seconds in profile.stages.items():
        table.add_row(label_cell(stage), f"{seconds:.2f}", "")
        if stage == profile.main:
            for work, spent in profile.work.items():
                table.add_row(label_cell(work, 2), "", f"{spent:.2f}")
                if work == "reduce":
                    for solver, used in profile.solvers.items():
                        table.add_row(Text("    " + _usage(solver, used)), "", "")
    return table


def _usage(solver: str, used: Mapping[str, int]) -> str:
    return f"{used['matrices']:,} by {solver}, orders {used['smallest']:,} to {used['largest']:,}"


def as_document(run: ModelRun) -> dict[str, Any]:
    """The model's part of `--json`: the records of all layers and pools, without depth bins."""
    return {
        "model": run.model,
        "out": str(run.out),
        "undefined": run.undefined,
        "warnings": list(run.warnings),
        "precision": asdict(run.accuracy),
        "profile": None if run.profile is None else asdict(run.profile),
        "records": [
            {
                "layer": layer,
                "pool": pool,
                "group_kind": group.kind,
                "segment": group.segment,
                "category": group.category,
                **record.asdict(),
            }
            for (layer, pool), records in run.records.items()
            for group, record in records.items()
            if group.kind in _KINDS
        ],
    }


def _summary(
    title: str, records: Mapping[Group, Record], matched: Mapping[str, Mapping[str, Any]]
) -> Table:
    headings = ("group", "rows", "rankme", "rankme_sigma", "alpha", "ceiling")
    compared = _at_matched_counts(matched)
    table = new_table(title, *headings, *(["rankme (at rows)"] if compared else []), "status")
    shown = [group for group in records if group.kind in _KINDS]
    for kind, group in ((group.kind, group) for group in shown[:_MOST_ROWS]):
        if kind == "category" and group == next(g for g in shown if g.kind == kind):
            table.add_section()
        record = records[group]
        table.add_row(
            label_cell(group_name(group), 2 * (kind != "global")),
            f"{record.num_rows:,}",
            number(record.rankme, 2),
            number(record.rankme_sigma, 2),
            number(record.alpha_req, 3),
            f"{record.rank_ceiling:,}",
            *([compared.get((kind, group.segment, group.category), "")] if compared else []),
            record.status,
        )
    if len(shown) > _MOST_ROWS:
        table.add_row(f"  … and {len(shown) - _MOST_ROWS} more")
    return table


def _at_matched_counts(
    matched: Mapping[str, Mapping[str, Any]],
) -> dict[tuple[str, str | None, str | None], str]:
    """Of each segment and category, its mean rankme at the count of its kind."""
    return {
        (kind, one["segment"], one["category"]): f"{number(one['mean']['rankme'], 2)} "
        f"({matched[kind]['count']:,})"
        for kind in matched.keys() & {"segment", "category"}
        for one in matched[kind]["groups"]
    }
