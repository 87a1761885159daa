"""A plan as a whole: counts of one layer, seconds of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

from spectra.engine import PoolPlan, RunConfig
from spectra.engine.memory import Bytes, Limit
from spectra.engine.plan import Round, rounds
from spectra.engine.source import PILOT_ROWS
from spectra.errors import UsageError
from spectra.outputs import expected_bytes
from spectra.planning import traffic, work
from spectra.planning.outline import Outline, crossing, pool_plans
from spectra.planning.rates import Rates
from spectra.preparation import megabytes

STEP_BYTES = 7 * 8
"""Of a step in the columns of an index."""

RUN_BYTES = 3 * 8
"""Of a run in a pool: its first row, its step and its atom."""

ASSUMED = (
    "rows spread evenly over categories, two segments and bins of depth, steps are equally long "
    "and each token is in one; real labels leave some groups empty and others larger",
    "subsamples overlap as independent draws do on the average",
    "all spectra are resolved from their moments, all states finite, no token is left out",
    "products and reading of a pass overlap, as they do in the engine; draws, passes, exchanges "
    "and solves come one after the other, layers too",
    "devices are all alike and share a process's products evenly, solves as far as their number "
    "goes; sums and collections go around in a ring",
    "not counted: start-up, conversion of rows, pooling and diagnostics on the host, parsing of "
    "the index, statistics from spectra, writing",
)


@dataclass(frozen=True, slots=True)
class _Layer:
    """The plans of one layer's pools, and the passes that they take."""

    plans: list[PoolPlan]
    works: list[work.Work]
    rounds: tuple[Round, ...]
    limit: Limit

    @property
    def passes(self) -> int:
        """Over the shards, to collect."""
        return sum(len(one.sweeps) for one in self.rounds)

    @property
    def second_passes(self) -> int:
        """Over the shards, to weigh rows by the axes of large groups; one a sweep at most."""
        weighing = [bool(one.weighed) for one in self.works]
        return sum(
            len(one.sweeps) for one in self.rounds if any(weighing[pool] for pool in one.pools)
        )

    @property
    def planned(self) -> Bytes:
        """As a run's `planned_bytes`."""
        return reduce(Bytes.larger, (one.planned for one in self.rounds))


def planned(
    outline: Outline, config: RunConfig, rates: Rates, limit: Limit | None = None
) -> dict[str, Any]:
    """The plan as a document.

    Args:
        outline: the run's size.
        config: its options; where they are not those of a plan, `UsageError`.
        rates: of its devices, disks and network.
        limit: memory of a process for rows and moments; without one a single pass collects all.

    Raises:
        UsageError: the exact jackknife or half samples are asked for, or the least does not fit.
    """
    if config.jackknife == "exact" or config.half_sample or config.chosen.row_norm:
        raise UsageError(
            "a plan is of runs without the exact jackknife, half samples and normalised rows, "
            "whose passes follow from each group's traces. Expected --jackknife first-order or off."
        )
    layer = _layer(outline, config, limit)
    sent = traffic.sent(layer.works, outline, config, layer.passes + layer.second_passes)
    return {
        "outline": {**asdict(outline), "steps": outline.steps},
        "reads": _reads(outline, layer),
        "products": _products(layer.works, outline),
        "solves": _solves(layer.works, outline),
        "memory": _memory(outline, config, layer),
        "disk": _disk(outline, config, layer.plans),
        "network": {
            **asdict(sent),
            "summed": sent.summed,
            "collected": sent.collected,
            "sent_by_process": round(sent.by_process(outline.processes) * outline.layers),
        },
        "seconds": _seconds(outline, rates, layer, sent),
        "rates": rates.asdict(),
        "assumptions": list(ASSUMED),
    }


def _layer(outline: Outline, config: RunConfig, limit: Limit | None) -> _Layer:
    """Plans as `prepare` would have them: processes have sums of their own beside all of them's."""
    plans = pool_plans(outline, config)
    if limit is None:
        limit = Limit(1 << 62)
    elif outline.processes > 1:
        limit = Limit(limit.host // 2, limit.device)
    made = _Layer(plans, [*map(work.Work.of, plans)], rounds(plans, limit), limit)
    if not limit.holds(made.planned):
        need = made.planned
        what, given = f"{megabytes(need.host)}", f"{megabytes(limit.host)} of a process's memory"
        if need.host <= limit.host and limit.device is not None:
            what, given = f"{megabytes(need.device)} on a device", f"{megabytes(limit.device)}"
        raise UsageError(
            f"rows and moments need at least {what}, one pool and category at a time; {given} are "
            "for them. Expected more memory, or fewer bins, counts or repeats."
        )
    return made


def _reads(outline: Outline, layer: _Layer) -> dict[str, Any]:
    pilot = min(PILOT_ROWS, outline.tokens) * outline.dim * outline.itemsize
    passes = layer.passes + layer.second_passes
    whole = passes * outline.layer_bytes
    return {
        "passes": layer.passes,
        "second_passes": layer.second_passes,
        "bytes": outline.layers * (whole + outline.processes * pilot),
        "by_process": outline.layers * (-(-whole // outline.processes) + pilot),
    }


def _products(works: Sequence[work.Work], outline: Outline) -> dict[str, Any]:
    square = 2 * outline.dim**2 * outline.layers
    streamed, stored = (
        sum(rows) for rows in zip(*(work.moment_rows(one.plan) for one in works), strict=True)
    )
    weighed = sum(sum(one.weighed) for one in works)
    within = sum(work.solve_operations(one.plan, task) for one in works for task in one.tasks)
    return {
        "rows_multiplied": (streamed + stored) * outline.layers,
        "moments": float((streamed + stored) * square),
        "weighing": float(weighed * square),
        "within_solves": within * outline.layers,
    }


def _solves(works: Sequence[work.Work], outline: Outline) -> dict[str, Any]:
    orders = sum((one.orders() for one in works), Counter[int]())
    drawn = sum(len(task.counts) for one in works for task in one.tasks if task.drawn)
    return {
        "matrices": outline.layers * orders.total(),
        "of_order_dim": outline.layers * orders[outline.dim],
        "of_subsamples": outline.layers * drawn,
        "axes": outline.layers * sum(len(one.weighed) for one in works),
        "smallest": min(orders, default=0),
    }


def _memory(outline: Outline, config: RunConfig, layer: _Layer) -> dict[str, Any]:
    own = Bytes()
    if outline.processes > 1:
        cut = min(2, crossing(outline)[0])
        shares = (traffic.share(plan, outline, cut) for plan in layer.plans)
        # On a device they go one by one, as those of all are made.
        own = Bytes(sum(one.planned(layer.limit).host for one in shares))
    runs = sum(outline.steps if plan.rows.pool == "all" else len(plan.rows) for plan in layer.plans)
    return {
        "planned": layer.planned.asdict(),
        "own_sums": own.asdict(),
        "carried_by_traces": traffic.held_by_traces(layer.works, outline, config),
        "index": STEP_BYTES * outline.steps + RUN_BYTES * runs,
    }


def _disk(outline: Outline, config: RunConfig, plans: list[PoolPlan]) -> dict[str, Any]:
    some = min(outline.layers, 2)  # two have a profile as all would, and files of the same size
    results = expected_bytes(plans * some, outline.traces if config.influences else 0)
    return {
        "shards": outline.layers * outline.layer_bytes,
        "parts": outline.layers * traffic.part_bytes(plans, outline)
        + traffic.DIGEST_BYTES * outline.processes,
        "results": results // some * outline.layers,
    }


def _seconds(outline: Outline, rates: Rates, layer: _Layer, sent: traffic.Sent) -> dict[str, Any]:
    """Of all layers, by what comes one after the other."""
    each, layers = outline.devices // outline.processes, outline.layers
    read = outline.layer_bytes / outline.processes / rates.disk
    products = _products(layer.works, outline)
    square = 2 * outline.dim**2
    rows = sum(work.moment_rows(plan)[0] for plan in layer.plans)
    later = sum(work.moment_rows(plan)[1] for plan in layer.plans)
    multiply = rows * square / rates.multiply / outline.devices
    added = later * square / rates.multiply / each
    weigh = products["weighing"] / layers / rates.weigh / outline.devices
    alone, solving = work.dealt(layer.works, rates, outline.processes, each)
    draws = sum(one.keys for one in layer.works) / rates.keys
    found = {
        "collecting": max(layer.passes * read, multiply) + added,
        "solving": solving,
        "weighing": max(layer.second_passes * read, weigh),
        "network": sent.by_process(outline.processes) / rates.network,
    }
    total = sum(found.values())  # of a layer; all of them share the draws
    return {
        "draws": draws,
        **{name: layers * seconds for name, seconds in found.items()},
        "total": draws + layers * total,
        "of_which_reading": layers * (layer.passes + layer.second_passes) * read,
        "of_which_products": layers * (multiply + added + weigh),
        "solves_on_one_device": layers * alone,
        "network_share": layers * found["network"] / (draws + layers * total) if total else 0.0,
    }
