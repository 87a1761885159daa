"""From a pool's spectra to records: statistics in batches, counts and reasons beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectra.artifacts import Sample
from spectra.engine import CountTable, PoolResult, statistics
from spectra.grouping import Group
from spectra.left_out import locator
from spectra.linalg import F64
from spectra.outputs.diagnostics import diagnostics, strongest
from spectra.record import Record, metric_values, reason, status_name
from spectra.route import mean_energy_share, route_conventions, route_values
from spectra.statistics import METRICS, Convention, Summary
from spectra.uncertainty import Blocks, Carried, Errors, delete_block_variances, variances
from spectra.uncertainty.halves import corrected_rank, even_enough

Point = dict[str, Any]
"""Metrics over the subsamples of a count: "mean", "sd" (None for one), "se" and "num_blocks"."""

Repeats = dict[tuple[Group, int], list[dict[str, float | None]]]
"""By group and count, the metrics of each subsample."""

AGREE = 0.1
"""Relative difference of exact and first-order standard errors that is worth a word."""

LEADING = 100
"""Spectral values kept a route: enough to draw every preset's fitted range."""

ROUTES = ("cov_centered", "svd_centered", "svd_uncentered")


@dataclass(frozen=True, slots=True)
class PoolRecords:
    """Everything that a pool's files hold, before it is laid out."""

    records: dict[Group, Record]
    routes: dict[Group, dict[str, Any]]
    curves: dict[Group, list[Point]]
    matched: dict[str, dict[str, Any]]


def pool_records(
    result: PoolResult,
    blocks: Blocks,
    convention: Convention,
    platform: str,
    samples: Sequence[Sample],
) -> PoolRecords:
    """Records, routes and curves of one pool; `samples` name its traces and token rows."""
    maker = _Maker(result, blocks, convention, platform, samples)
    points = maker.points()
    return PoolRecords(maker.records(), maker.routes(), maker.curves(points), maker.matched(points))


def sampled_metrics(
    result: PoolResult,
    blocks: Blocks,
    convention: Convention,
    platform: str,
    samples: Sequence[Sample],
) -> Repeats:
    """The metrics of each subsample of one pool."""
    return _Maker(result, blocks, convention, platform, samples).repeats()


class _Maker:
    def __init__(
        self,
        result: PoolResult,
        blocks: Blocks,
        convention: Convention,
        platform: str,
        samples: Sequence[Sample],
    ) -> None:
        self._samples = samples
        self._result, self._convention, self._platform = result, convention, platform
        self._blocks, self._locate = blocks, locator(samples)
        self._atoms = result.plan.rows.atoms
        self._dim = result.plan.dim
        self._table = CountTable(result.plan.rows)
        self._bad = self._bad_groups()

    def records(self) -> dict[Group, Record]:
        groups = self._atoms.basic_groups() + self._atoms.depth_groups()
        counts = [self._table.of(group) for group in groups]
        spectra = [self._values(group, self._result.eigenvalues.get(group)) for group in groups]
        summary = self._summary(spectra, [count.rows for count in counts], self._convention)
        records = {}
        for place, (group, count) in enumerate(zip(groups, counts, strict=True)):
            status = status_name(summary, place)
            usable = int((spectra[place] > 0).sum())
            solved = self._result.spectra.get(group)
            values = metric_values(summary, place)
            carried = self._result.carried.get(group)
            se, blocks = self._errors(group, carried, values, count.rows)
            first, se = se, self._exact(group, se, values)
            exact = se is not first
            records[group] = Record(
                **values,
                num_rows=count.rows,
                num_tokens=count.tokens,
                num_steps=count.steps,
                num_traces=count.traces,
                rank_ceiling=int(summary.rank_ceiling[place]),
                se=se,
                status=status,
                reason=reason(status, count.rows, usable, self._convention, self._bad.get(group)),
                method=None if solved is None else solved.method,
                num_blocks=blocks,
                diagnostics=self._diagnostics(
                    group, spectra[place], carried if se and se["rankme"] is not None else None
                ),
                half_sample=self._half_sample(group, values["rankme"], count.rows),
                se_first_order=first if exact else None,
                se_apart=_apart(first, se) if exact else None,
            )
        return records

    def routes(self) -> dict[Group, dict[str, Any]]:
        """The three routes of every basic group, under the default definitions."""
        groups = self._atoms.basic_groups()
        centered, uncentered = route_conventions(self._convention)
        spectra = {
            "cov_centered": ([self._route(g, "covariance") for g in groups], centered, "rankme"),
            "svd_centered": (
                [self._route(g, "centered") for g in groups],
                centered,
                "rankme_sigma",
            ),
            "svd_uncentered": (
                [self._route(g, "uncentered") for g in groups],
                uncentered,
                "rankme_sigma",
            ),
        }
        rows = [self._table.of(group).rows for group in groups]
        result: dict[Group, dict[str, Any]] = {group: {} for group in groups}
        for route, (values, convention, rank) in spectra.items():
            summary = self._summary(values, rows, convention)
            for place, group in enumerate(groups):
                statistics = metric_values(summary, place)
                status = status_name(summary, place)
                usable = int((values[place] > 0).sum())
                result[group][route] = {
                    "effective_rank": statistics[rank],
                    "alpha_req": statistics["alpha_req"],
                    "alpha_req_r2": statistics["alpha_req_r2"],
                    "values": leading(route, values[place], rows[place], status),
                    "status": status,
                    "reason": reason(status, rows[place], usable, convention, self._bad.get(group)),
                }
        for place, group in enumerate(groups):
            solved = None if group in self._bad else self._result.spectra.get(group)
            # Squares of non-finite rows are NaN, and one row has no variance.
            variance = float(spectra["cov_centered"][0][place].sum()) / max(rows[place] - 1, 1)
            result[group] |= {
                "total_variance": variance if math.isfinite(variance) and rows[place] > 1 else None,
                "mean_energy_share": None if solved is None else mean_energy_share(solved),
                "max_disagreement": None if solved is None else solved.disagreement,
                "num_rows": rows[place],
                "method": None if solved is None else solved.method,
            }
        return result

    def repeats(self) -> Repeats:
        """The metrics of each subsample."""
        drawn: Repeats = {}
        spectra = [self._values(key[0], values) for key, values in self._result.sampled.items()]
        rows = [count for _, _, count in self._result.sampled]
        summary = self._summary(spectra, rows, self._convention)
        for place, (group, _, count) in enumerate(self._result.sampled):
            drawn.setdefault((group, count), []).append(metric_values(summary, place))
        return drawn

    def points(self) -> dict[tuple[Group, int], Point]:
        """Mean, spread and standard error over the subsamples of each group and count."""
        points = {}
        for (group, count), members in self.repeats().items():
            point: Point = {"mean": {}, "sd": {}, "se": None, "num_blocks": None}
            for name in members[0]:
                repeats = [member[name] for member in members]
                point["mean"][name], point["sd"][name] = mean_and_sd(repeats)
            carried = self._result.sampled_carried.get((group, count))
            held = self._result.sampled_blocks.get((group, count))
            point["se"], point["num_blocks"] = self._errors(
                group, carried, point["mean"], count, held
            )
            points[group, count] = point
        return points

    def curves(self, points: Mapping[tuple[Group, int], Point]) -> dict[Group, list[Point]]:
        """The matched-count curve of every group that is as large as the smallest count."""
        return {
            group: [
                {"count": count, **points[group, count]}
                for count in self._result.plan.counts
                if (group, count) in points
            ]
            for group in self._atoms.sweep_groups()
        }

    def matched(self, points: Mapping[tuple[Group, int], Point]) -> dict[str, dict[str, Any]]:
        """The groups of each kind at the count that they share, and those too small for it."""
        return {
            one.kind: {
                "count": one.count,
                "groups": [
                    {**labels(group), "num_rows": one.sizes[group], **points[group, one.count]}
                    for group in one.groups
                    if one.count is not None
                ],
                "left_out": [
                    {**labels(group), "num_rows": one.sizes[group]} for group in one.left_out
                ],
            }
            for one in self._result.plan.matched
        }

    def _half_sample(self, group: Group, rankme: float | None, rows: int) -> dict[str, Any] | None:
        found = self._result.halves.get(group, ())
        splits = [one for one in found if even_enough(one.sizes)]
        if not splits or rankme is None or self._convention.weights != "eigenvalue":
            return None
        place = METRICS.index("rankme")
        halves = [value for one in splits for value in one.values[:, place].tolist()]
        # Leaving one half out is having the other.
        sizes = [size for one in splits for size in one.sizes[::-1].tolist()]
        if not np.isfinite(halves).all():
            return None
        return {
            "rankme": corrected_rank(rankme, halves, sizes, rows),
            "method": "half-sample correction of the entropy, traces split at random",
            "splits": len(splits),
            "of_halves": float(np.mean(halves)),
        }

    def _exact(
        self, group: Group, first: Errors | None, values: Mapping[str, float | None]
    ) -> Errors | None:
        """The exact standard errors of a group, or what there is to first order.

        Alpha's are lessened in the proportion in which first-order ones are.
        """
        without = self._result.without.get(group)
        if without is None or first is None:
            return first
        carried, whole = self._result.carried[group], np.array([values[m] for m in METRICS], float)
        squares = delete_block_variances(whole, without.values, without.sizes)
        kept = np.ones(len(METRICS))
        alpha = METRICS.index("alpha_req")
        plain = float(variances(carried.by_trace, len(without.sizes), self._blocks)[alpha])
        if first["alpha_req"] is not None and plain > 0:
            kept[alpha] = first["alpha_req"] ** 2 / plain
        roots = np.sqrt(squares * kept)
        return {
            name: float(root) if values[name] is not None and np.isfinite(root) else None
            for name, root in zip(METRICS, roots, strict=True)
        }

    def _diagnostics(
        self, group: Group, values: F64, carried: Carried | None
    ) -> dict[str, Any] | None:
        energies, solved = self._result.energies, self._result.spectra.get(group)
        if energies is None or solved is None:
            return None
        good = group not in self._bad
        return diagnostics(
            values,
            energies.of(self._atoms.mask(group)) if good else None,
            mean_energy_share(solved) if good else None,
            self._table.rows_by_trace(group),
            self._result.columns,
            self._result.stored,
            lambda number: self._locate(self._result.plan.rows.first_token_of(number)),
            None if carried is None or group.bin is not None else self._influences(group, carried),
        )

    def _influences(self, group: Group, carried: Carried) -> list[dict[str, Any]]:
        counts = self._table.rows_by_trace(group)
        names = {trace: self._samples[trace].sample_id for trace in np.flatnonzero(counts).tolist()}
        return strongest(carried.by_trace, counts, names)

    def _errors(
        self,
        group: Group,
        carried: Carried | None,
        values: Mapping[str, float | None],
        rows: int,
        held: int | None = None,
    ) -> tuple[dict[str, float | None] | None, int | None]:
        """Standard errors of the metrics that have a value, and how many blocks they rest on.

        Of draws, `held` is how many blocks the draw from the fewest has.
        """
        if carried is None:
            return None, None
        holding = self._blocks.holding(self._table.traces(group))
        ceiling = min(rows - int(self._convention.centered), self._dim)
        count = len(holding) if held is None else held
        found = carried.errors(self._blocks, holding, count, self._convention, values, ceiling)
        return found, count

    def _summary(self, spectra: list[F64], rows: list[int], convention: Convention) -> Summary:
        return statistics(spectra, rows, self._dim, convention, self._platform)

    def _values(self, group: Group, values: F64 | None) -> F64:
        if values is None:
            return np.zeros(0)
        return np.full(self._dim, np.nan) if group in self._bad else values

    def _route(self, group: Group, name: str) -> F64:
        solved = self._result.spectra.get(group)
        return self._values(group, None if solved is None else getattr(solved, name))

    def _bad_groups(self) -> dict[Group, str]:
        """Why each group with non-finite rows is undefined."""
        rows, result = self._result.plan.rows, self._result
        if len(result.bad) == 0:
            return {}
        atoms = rows.atom_of(result.bad)
        sentences = {}
        for group in self._atoms.basic_groups() + self._atoms.depth_groups():
            members = np.flatnonzero(self._atoms.mask(group)[atoms])
            if len(members):
                first = self._locate(int(result.bad_tokens[members].min()))
                sentences[group] = (
                    f"{len(members)} of {self._table.of(group).rows} rows hold NaN or infinity, "
                    f"the first at {first}"
                )
        return sentences


def labels(group: Group) -> dict[str, Any]:
    """What tells a group from the others of its kind, as fields."""
    return {"segment": group.segment, "category": group.category, "bin": group.bin}


def _apart(first: Errors | None, exact: Errors | None) -> list[str]:
    """The metrics whose standard errors differ by more than a tenth."""
    return [
        name
        for name, one in (first or {}).items()
        if one is not None
        and ((other := (exact or {})[name]) is None or abs(other - one) > AGREE * max(one, other))
    ]


def basic_labels(group: Group) -> dict[str, Any]:
    """The same of a group that is no depth bin, and its kind."""
    return {"group_kind": group.kind, "segment": group.segment, "category": group.category}


def leading(route: str, squares: F64, rows: int, status: str) -> list[float]:
    """The leading values of a route's spectrum."""
    if status in ("too_few_rows", "nonfinite"):
        return []
    return [float(value) for value in route_values(route, squares[:LEADING], rows)]


def mean_and_sd(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation over repeats; None if any value is undefined."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None, None
    return float(np.mean(numbers)), float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
