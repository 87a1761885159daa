"""`spectra.chance.baselines`: the observed metrics beside what chance would give at their size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from spectra.backend import Backend, select_backend
from spectra.chance.gaussian import gaussian_spectrum
from spectra.chance.permuted import Labelings, p_value, sizes_of
from spectra.engine import PoolPlan, PoolResult, Progress, RunConfig, evaluate_samples, statistics
from spectra.errors import NonFiniteRowsError, UsageError
from spectra.grouping import Group, Steps
from spectra.left_out import locator, tokens_left_out
from spectra.linalg import F64
from spectra.outputs import mean_and_sd, sampled_metrics
from spectra.pooling import StepTokens, pooled_rows
from spectra.preparation import CappedNames, category_names, check_draws
from spectra.record import metric_values
from spectra.sources import Opened, Source, opened_one
from spectra.statistics import METRICS
from spectra.uncertainty import Blocks, holm


class Spread(NamedTuple):
    """Mean and standard deviation of a metric over draws; None where one is undefined."""

    mean: float | None
    sd: float | None


MOST = 100_000
"""Permutations, and draws of Gaussian rows: what is held of each would fill any memory."""


@dataclass(frozen=True, slots=True)
class Chance:
    """One metric of a group at its count.

    Attributes:
        observed: the mean over the draws.
        permuted: over labels permuted within traces.
        p: two-sided, of the observed labeling among the permuted ones.
        p_holm: adjusted for the groups of its kind (Holm 1979).
        isotropic: over isotropic Gaussian rows of that number and width.
        same_covariance: over Gaussian rows with the covariance of the first draw, whose spectrum is
            steeper than the group's: what is lost by drawing so few rows is lost twice.
    """

    observed: float | None
    permuted: Spread
    p: float | None
    p_holm: float | None
    isotropic: Spread
    same_covariance: Spread


@dataclass(frozen=True, slots=True)
class Baselines:
    """What `baselines` found: by group its rows, its count, and the metrics."""

    source: Opened
    names: CappedNames
    config: RunConfig
    permutations: int
    gaussians: int
    groups: Mapping[Group, tuple[int, int, Mapping[str, Chance]]]
    warnings: tuple[str, ...]


def baselines(
    source: Source,
    config: RunConfig | None = None,
    *,
    permutations: int = 199,
    gaussians: int = 10,
    progress: Progress = lambda stage, done, total: None,
) -> Baselines:
    """The segments and categories of a source beside what chance would give.

    Every labeling is drawn from at the count that the groups of a kind share under all of them,
    `config.repeats` times each.

    Args:
        source: a model's directory, with a layer and a pool.
        config: convention, categories, repeats, seed, what is left out, backend and memory.
        permutations: of the labels, N: p-values are multiples of 1 / (N + 1).
        gaussians: draws of Gaussian rows of each kind, 2 or more.
        progress: told of each stage's progress.

    Raises:
        InputError: the source is missing or malformed.
        UsageError: an option cannot be met here, or no two groups of a kind are large enough.
    """
    config = config or RunConfig()
    for name, given, least in (("permutations", permutations, 1), ("gaussians", gaussians, 2)):
        if not least <= given <= MOST:
            raise UsageError(f"{name} is {given}. Expected {least} to {MOST:,}.")
    if config.chosen.row_norm:
        raise UsageError(
            f"the convention {config.chosen.name!r} normalises rows by their group, for which "
            "there are no baselines. Expected one that does not."
        )
    backend = select_backend(config.backend, config.precision, config.devices)
    one = opened_one(source).fetched()
    names, odd = category_names(config, one.samples)
    steps, blocks = Steps.of(one.samples, names), Blocks.of(one.samples)
    reader = one.artifact.open_rows(one.layer, config.drop_dims)
    left_out = tokens_left_out(one.artifact, reader, steps, config, progress)
    rows = pooled_rows(source.pool, StepTokens.of(steps, left_out.tokens), 1, "step")
    labelings = Labelings.of(rows, permutations, config.seed)
    if not labelings.counts:
        raise UsageError(
            f"{source.path} has no two segments, nor two categories, of 32 rows or more under "
            "every permutation. Expected more rows, or fewer categories (--categories)."
        )
    itemsize = 8 if rows.pool == "mean" else reader.dtype.itemsize
    samples = labelings.draws(config.repeats, config.seed)
    plan = PoolPlan.of_samples(rows, reader.dim, itemsize, samples, weighs=False)
    check_draws(plan, config, source.path)
    with reader:
        result = evaluate_samples(plan, reader, config, backend, progress, blocks)
    if len(result.bad):
        raise NonFiniteRowsError(
            f"{locator(one.artifact.index.samples)(int(result.bad_tokens[0]))}: the hidden state "
            "holds NaN or infinity. Expected finite values; use --nonfinite drop."
        )
    values = sampled_metrics(result, blocks, config.chosen, backend.name, one.samples)
    gauss = _Gauss(result, config, backend, gaussians)
    found = {}
    for group, count in labelings.counts.items():
        by_labeling = _means(values[group, count], config.repeats)
        found[group] = _chances(by_labeling, gauss.isotropic(count), gauss.like(group, count))
    sizes = sizes_of(rows)
    groups = {
        group: (sizes[group], labelings.counts[group], metrics)
        for group, metrics in _adjusted(found).items()
    }
    return Baselines(one, names, config, permutations, gaussians, groups, tuple(odd))


Values = Mapping[str, Sequence[float | None]]


class _Gauss:
    """Metrics over draws of Gaussian rows; those that are isotropic depend on the count alone."""

    def __init__(self, result: PoolResult, config: RunConfig, backend: Backend, draws: int) -> None:
        self._result, self._config, self._platform = result, config, backend.name
        self._draws = draws
        self._by_count: dict[int, Values] = {}

    def isotropic(self, count: int) -> Values:
        if count not in self._by_count:
            dim = self._result.plan.dim
            self._by_count[count] = self._drawn(np.ones(dim), count, f"isotropic\0{count}")
        return self._by_count[count]

    def like(self, group: Group, count: int) -> Values:
        """With the covariance of the first draw from the group as it is labelled."""
        squares = self._result.sampled[group, 0, count]
        variances = np.zeros(self._result.plan.dim)
        variances[: len(squares)] = squares
        return self._drawn(variances, count, f"{group.kind}\0{group.segment}\0{group.category}")

    def _drawn(self, variances: F64, count: int, label: str) -> Values:
        convention, dim = self._config.chosen, len(variances)
        key = f"{self._config.seed}\0gaussian\0{label}".encode("utf-8", "surrogatepass")
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest(), "big"))
        degrees = count - int(convention.centered)
        spectra = [gaussian_spectrum(variances, degrees, rng) for _ in range(self._draws)]
        summary = statistics(spectra, [count] * self._draws, dim, convention, self._platform)
        each = [metric_values(summary, place) for place in range(self._draws)]
        return {name: [one[name] for one in each] for name in METRICS}


def _means(values: Sequence[Mapping[str, float | None]], repeats: int) -> Values:
    """By metric, the mean over the draws of each labeling, the observed one first."""
    return {
        name: [
            mean_and_sd([one[name] for one in values[start : start + repeats]])[0]
            for start in range(0, len(values), repeats)
        ]
        for name in METRICS
    }


def _chances(by_labeling: Values, isotropic: Values, like: Values) -> dict[str, Chance]:
    found = {}
    for name, (observed, *permuted) in by_labeling.items():
        known = [value for value in permuted if value is not None]
        whole = observed is not None and len(known) == len(permuted) > 0
        found[name] = Chance(
            observed,
            Spread(*mean_and_sd(permuted)),
            p_value(observed, known) if whole and observed is not None else None,
            None,
            Spread(*mean_and_sd(isotropic[name])),
            Spread(*mean_and_sd(like[name])),
        )
    return found


def _adjusted(found: Mapping[Group, Mapping[str, Chance]]) -> dict[Group, dict[str, Chance]]:
    adjusted: dict[Group, dict[str, Chance]] = {group: {} for group in found}
    for kind in dict.fromkeys(group.kind for group in found):
        family = [group for group in found if group.kind == kind]
        for name in METRICS:
            ps = holm([found[group][name].p for group in family])
            for group, p in zip(family, ps, strict=True):
                adjusted[group][name] = replace(found[group][name], p_holm=p)
    return adjusted
