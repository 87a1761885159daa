"""`spectra.compare`: from sources to the differences of each pair, group and metric."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectra.backend import Backend, select_backend
from spectra.compare.differences import (
    ACROSS_WIDTHS,
    ALL,
    NORMALISED,
    Difference,
    Measured,
    difference,
)
from spectra.engine import (
    CountTable,
    PoolPlan,
    PoolResult,
    Progress,
    RunConfig,
    draw,
    evaluate_samples,
)
from spectra.errors import UsageError
from spectra.grouping import Group, Steps
from spectra.left_out import tokens_left_out
from spectra.linalg import F64
from spectra.outputs import mean_and_sd, sampled_metrics
from spectra.pooling import PooledRows, StepTokens, pooled_rows
from spectra.preparation import CappedNames, category_names, check_draws
from spectra.sampling import LARGEST_COUNT, SMALLEST_COUNT
from spectra.sources import Opened, Source, named_problems, opened, warnings
from spectra.statistics import METRICS
from spectra.uncertainty import Blocks, holm, variances


@dataclass(frozen=True, slots=True)
class Compared:
    """A group of two sources: its rows in both, how many of them a draw has, what is between."""

    group: Group
    rows: tuple[int, int]
    count: int
    blocks: int
    differences: Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sources by number, and the groups that can be compared: b less a."""

    a: int
    b: int
    groups: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a comparison will draw, before any state is read.

    Attributes:
        sources: what is compared.
        names: the category map.
        rows: of each source, those of its pool.
        sizes: of each source, the rows of each group.
        counts: how many rows of each group are drawn.
        metrics: which are compared: fewer where widths differ.
        warnings: sentences on what is odd but legal.
    """

    sources: tuple[Opened, ...]
    names: CappedNames
    rows: tuple[PooledRows, ...]
    sizes: tuple[Mapping[Group, int], ...]
    counts: Mapping[Group, int]
    metrics: tuple[str, ...]
    warnings: tuple[str, ...]

    def fetched(self) -> Prospect:
        """With the sources' rows there to be read."""
        return replace(self, sources=tuple(one.fetched() for one in self.sources))

    def left_out(self) -> dict[Group, tuple[int, ...]]:
        """The rows, by source, of the groups that are too small in one of them."""
        groups = dict.fromkeys(itertools.chain(*self.sizes))
        found = {group: tuple(own.get(group, 0) for own in self.sizes) for group in groups}
        return {g: rows for g, rows in found.items() if g not in self.counts and any(rows)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that `compare` found.

    Attributes:
        prospect: what was compared, and at which counts.
        pairs: each two of the sources.
        blocks: over which traces standard errors are.
        config: the options.
    """

    prospect: Prospect
    pairs: tuple[Pair, ...]
    blocks: Blocks
    config: RunConfig


def prospect(
    sources: Sequence[Source],
    config: RunConfig,
    most: int = LARGEST_COUNT,
    progress: Progress = lambda stage, done, total: None,
) -> Prospect:
    """What `compare` would do; raises what it does."""
    if not config.weighs:
        raise UsageError(
            f"the convention {config.chosen.name!r} with jackknife {config.jackknife!r} has no "
            "standard errors. Expected one that does not normalise rows, and 'first-order'."
        )
    found = opened(sources)
    if config.looks_first:
        found = tuple(one.fetched() for one in found)
    names, odd = category_names(config, [s for one in found for s in one.samples])
    rows = tuple(_rows(one, names, config, progress) for one in found)
    sizes = tuple(one.sizes(one.atoms.basic_groups()) for one in rows)
    shared = {group: min(own.get(group, 0) for own in sizes) for group in sizes[0]}
    counts = {group: min(most, size) for group, size in shared.items() if size >= SMALLEST_COUNT}
    widths = {one.artifact.config.hidden_dim for one in found}
    metrics = ALL if len(widths) == 1 else ACROSS_WIDTHS
    told = (*odd, *warnings(found), *_told(found, metrics))
    return Prospect(found, names, rows, sizes, counts, metrics, told)


def compare(
    sources: Sequence[Source],
    config: RunConfig | None = None,
    *,
    most: int = LARGEST_COUNT,
    progress: Progress = lambda stage, done, total: None,
) -> Comparison:
    """Differences between sources on the traces that all of them have, at matched counts.

    Every group is drawn from at the size that it has where it is smallest, `config.repeats` times,
    and whole where that is all of it. Sources of the same rows are drawn from alike.

    Args:
        sources: two or more.
        config: convention, categories, repeats, seed, sampling, nonfinite, backend and memory; its
            pools and layers are the sources'.
        most: rows of a draw at most.
        progress: told of each stage's progress.

    Raises:
        InputError: a source is missing or malformed.
        UsageError: the sources share no trace, or an option cannot be met here.
    """
    config = config or RunConfig()
    backend = select_backend(config.backend, config.precision, config.devices)
    plan = prospect(sources, config, most, progress).fetched()
    blocks = Blocks.of(named_problems(plan.sources))
    measured = []
    for one, rows, sizes in zip(plan.sources, plan.rows, plan.sizes, strict=True):
        result = _evaluate(one, rows, sizes, plan.counts, config, backend, blocks, progress)
        table = CountTable(rows)
        measured.append(_measured(one, result, table, sizes, config, backend, blocks))
    pairs = tuple(
        _pair(a, b, measured, plan.counts, plan.metrics)
        for a, b in itertools.combinations(range(len(measured)), 2)
    )
    return Comparison(plan, pairs, blocks, config)


def _told(sources: Sequence[Opened], metrics: Sequence[str]) -> list[str]:
    sentences = [
        f"{len(one.left_out)} traces of {one.source.path} are left out: not every source has them."
        for one in sources
        if one.left_out
    ]
    if metrics is ACROSS_WIDTHS:
        widths = ", ".join(str(one.artifact.config.hidden_dim) for one in sources)
        sentences.append(f"the widths differ ({widths}): only {', '.join(metrics)} are compared.")
    return sentences


def _rows(one: Opened, names: CappedNames, config: RunConfig, progress: Progress) -> PooledRows:
    steps = Steps.of(one.samples, names)
    reader = one.artifact.open_rows(one.layer, config.drop_dims)
    left_out = tokens_left_out(one.artifact, reader, steps, config, progress)
    return pooled_rows(one.source.pool, StepTokens.of(steps, left_out.tokens), 1, "step")


def _evaluate(
    one: Opened,
    rows: PooledRows,
    sizes: Mapping[Group, int],
    counts: Mapping[Group, int],
    config: RunConfig,
    backend: Backend,
    blocks: Blocks,
    progress: Progress,
) -> PoolResult:
    with one.artifact.open_rows(one.layer, config.drop_dims) as reader:
        itemsize = 8 if rows.pool == "mean" else reader.dtype.itemsize
        samples = draw(rows, sizes, counts, config.draws)
        plan = PoolPlan.of_samples(rows, reader.dim, itemsize, samples, weighs=True)
        check_draws(plan, config, one.source.path)
        return evaluate_samples(plan, reader, config, backend, progress, blocks)


def _measured(
    one: Opened,
    result: PoolResult,
    table: CountTable,
    sizes: Mapping[Group, int],
    config: RunConfig,
    backend: Backend,
    blocks: Blocks,
) -> dict[Group, Measured]:
    values = sampled_metrics(result, blocks, config.chosen, backend.name, one.samples)
    found = {}
    for (group, count), members in values.items():
        exist = min(count - int(config.chosen.centered), result.plan.dim)
        ceiling = min(exist, config.chosen.kept or exist)
        held, holding = result.sampled_blocks[group, count], blocks.holding(table.traces(group))
        carried = result.sampled_carried[group, count]
        means = {name: mean_and_sd([one[name] for one in members])[0] for name in METRICS}
        errors = carried.errors(blocks, holding, held, config.chosen, means, exist) or {}
        squares = variances(carried.by_trace, max(held, 2), blocks)
        first = dict(zip(METRICS, squares.tolist(), strict=True))
        corrected = {
            name: first[name] if (se := errors.get(name)) is None else se**2 for name in METRICS
        }
        ranks = [one["rankme"] for one in members]
        found[group] = Measured(
            sizes[group],
            [
                {**own, NORMALISED: None if rank is None else rank / ceiling}
                for own, rank in zip(members, ranks, strict=True)
            ],
            _with_normalised(blocks.sums(carried.by_trace), 1 / ceiling),
            first | {NORMALISED: first["rankme"] / ceiling**2},
            corrected | {NORMALISED: corrected["rankme"] / ceiling**2},
            held,
        )
    return found


def _with_normalised(influences: F64, scale: float) -> F64:
    of_rank = influences[:, METRICS.index("rankme")] * scale
    return np.column_stack([influences, of_rank])


def _pair(
    a: int,
    b: int,
    measured: Sequence[Mapping[Group, Measured]],
    counts: Mapping[Group, int],
    metrics: Sequence[str],
) -> Pair:
    first, second = measured[a], measured[b]
    found = {
        group: {metric: difference(first[group], second[group], metric) for metric in metrics}
        for group in counts
    }
    for kind in dict.fromkeys(group.kind for group in counts):
        family = [group for group in counts if group.kind == kind]
        for metric in metrics:
            adjusted = holm([found[group][metric].p for group in family])
            for group, p in zip(family, adjusted, strict=True):
                found[group][metric] = replace(found[group][metric], p_holm=p)
    return Pair(
        a,
        b,
        tuple(
            Compared(
                group,
                (first[group].rows, second[group].rows),
                count,
                min(first[group].blocks, second[group].blocks),
                found[group],
            )
            for group, count in counts.items()
        ),
    )
