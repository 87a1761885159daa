"""What was measured, in words and tables: for readers, and for those who do not see the charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spectra.display import SHOWN, number, with_error
from spectra.outputs.walk import matched_entries
from spectra.printable import Names, printable
from spectra.report.rows import BASIC
from spectra.report.sources import Shown
from spectra.results import PoolMetrics
from spectra.results.records import group_name

FEW_BLOCKS = 8
"""Fewer traces than this leave intervals wide and rough."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text, labels printable."""

    caption: str
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]


def overview(models: Sequence[Shown]) -> Table:
    """A line for each model and layer in detail."""
    headings = ("model", "layer", "width d", "tokens in groups", "steps", "traces", "states of")
    return Table("", headings, [line for shown in models for line in _lines(shown)])


def _lines(shown: Shown) -> Iterator[tuple[str, ...]]:
    for layer in shown.detailed:
        pool = shown.result.pool(_first_pool(shown), layer=layer)
        whole, norm = pool.record(), pool.basic["final_norm"]
        after = "" if norm is None else (" after the final norm" if norm else "")
        counts = (whole.num_tokens, whole.num_steps, whole.num_traces)
        yield (
            shown.name,
            f"{layer}" + (" (primary)" if layer == shown.result.primary else ""),
            f"{pool.dim:,}",
            *("–" if count is None else f"{count:,}" for count in counts),
            printable(pool.model) + after,
        )


def _first_pool(shown: Shown) -> str:
    return "all" if "all" in shown.result.pools else shown.result.pools[0]


def primary(shown: Shown) -> PoolMetrics:
    """The pool that a reader sees first."""
    return shown.result.pool(_first_pool(shown))


def convention(models: Sequence[Shown]) -> str:
    """The name of the metrics' definition, for captions."""
    found = list(dict.fromkeys(str(one["name"]) for one in _conventions(models)))
    return f"Convention: {', '.join(found)}."


def _conventions(models: Sequence[Shown]) -> list[dict[str, Any]]:
    return [primary(shown).basic["convention"] for shown in models]


def sentences(models: Sequence[Shown]) -> list[str]:
    """How metrics are defined, how standard errors were found, what was left out."""
    found = []
    for one in {one["name"]: one for one in _conventions(models)}.values():
        ranks = one["alpha_ranks"]
        fit = "" if ranks is None else f"; alpha_req is fitted on ranks {ranks[0]} to {ranks[1]}"
        found.append(f"Convention {one['name']}: {one['source']}{fit}.")
    for shown in models:
        pool, name = primary(shown), f"{shown.name}: "
        errors, left = pool.basic["standard_errors"], pool.basic["left_out"]
        if errors is None:
            found.append(name + "no standard errors were computed, so there are no intervals.")
        else:
            found.append(
                f"{name}intervals rest on {errors['blocks']:,} {errors['unit']}"
                f"{'s' * (errors['blocks'] != 1)} ({errors['method']})."
            )
        first, norms = left["first_tokens"], left["large_norms"]
        parts = [
            f"the first {first['of_each_trace']} tokens of each trace" * bool(first["tokens"]),
            f"{norms['tokens']:,} tokens of large norm" * bool(norms["tokens"]),
            f"{left['nonfinite_tokens']:,} tokens with NaN" * bool(left["nonfinite_tokens"]),
            f"{len(left['dimensions']):,} dimensions" * bool(left["dimensions"]),
        ]
        if any(parts):
            found.append(f"{name}left out were {', '.join(part for part in parts if part)}.")
    return found


def warnings(models: Sequence[Shown], unfinished: Sequence[str]) -> list[str]:
    """What a reader must know before comparing numbers."""
    found = [f"{place} has no run.json: its run did not finish, and it is not shown."
             for place in unfinished]  # fmt: skip
    if len({one["name"] for one in _conventions(models)}) > 1:
        found.append("The models were run under different conventions: do not compare them.")
    for shown in models:
        found += [f"{shown.name}: {printable(text)}" for text in shown.result.warnings]
        pool = primary(shown)
        basic = [record for group, record in pool.records.items() if group.kind in BASIC]
        small = sum(0 < record.num_rows <= pool.dim for record in basic)
        if small:
            found.append(
                f"{shown.name}: {small} of {len(basic)} groups have no more rows than the states "
                f"have dimensions ({pool.dim:,}). Their ranks are bounded by their rows: compare "
                "them at matched counts only."
            )
        errors = pool.basic["standard_errors"]
        if errors is not None and errors["blocks"] < FEW_BLOCKS:
            found.append(f"{shown.name}: there {_are(errors)}, so intervals are rough.")
        absent = [record for record in basic if record.num_rows and record.reason is not None]
        if absent:
            why = printable(str(absent[0].reason))
            found.append(
                f"{shown.name}: {len(absent)} of {len(basic)} groups lack a value; the first says "
                f"why: {why}."
            )
    return found


def _are(errors: dict[str, Any]) -> str:
    return f"is only 1 {errors['unit']}" if errors["blocks"] == 1 else (
        f"are only {errors['blocks']} {errors['unit']}s"
    )  # fmt: skip


def numbers(models: Sequence[Shown], names: Names) -> list[Table]:
    """The groups of each model's first pool as text."""
    tables = []
    for shown in models:
        pool = primary(shown)
        compared = {g: (count, point) for g, count, point in matched_entries(pool.basic)}
        lines = []
        for group, record in pool.records.items():
            if group.kind in BASIC:
                se = record.se or {}
                count, point = compared.get(group, (None, None))
                mean = None if point is None else point["mean"]["rankme"]
                lines.append(
                    (
                        names.of(group, group_name(group)),
                        f"{record.num_rows:,}",
                        "–" if record.num_traces is None else f"{record.num_traces:,}",
                        *(with_error(getattr(record, m), se.get(m), d) for m, d in SHOWN.items()),
                        "–" if count is None else f"{number(mean, 2)} (at {count:,})",
                        f"{record.rank_ceiling:,}",
                    )
                )
        headings = ("group", "rows", "traces", *SHOWN, "rankme, matched", "largest rank possible")
        caption = f"{shown.name}, layer {pool.layer}, pool {pool.pool}"
        tables.append(Table(caption, headings, lines))
    return tables
