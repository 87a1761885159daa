"""A run without shards: from a model that computes states to metric files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spectra.backend import Backend, select_backend
from spectra.direct.plan import DirectPlan
from spectra.direct.seats import Seat, Table
from spectra.direct.source import Computed, ComputedRows
from spectra.direct.states import States
from spectra.engine import LayerResult, Progress, RunConfig, evaluate_layer
from spectra.outputs import check_space, run_lock
from spectra.pipeline import ModelRun, Task, finish_model, options_record
from spectra.provenance import Stages

_OF_THE_MODEL = ("reading", "standard errors")
"""Stages of a layer of which the passes tell."""


def run_direct(
    plan: DirectPlan,
    out: Path,
    config: RunConfig,
    load: Callable[[], States],
    made_by: Mapping[str, Any],
    *,
    command: Sequence[str] = (),
    sources: Mapping[str, str] = {},
    progress: Progress = lambda stage, done, total: None,
) -> ModelRun:
    """Compute the metric files of a model's states without writing these.

    Args:
        plan: of these options.
        out: the directory of the files.
        config: all options.
        load: loads the model, when `out` is locked and has room.
        made_by: what says where the states come from, for run.json.
        command: the command line, for run.json.
        sources: where options came from that were not left at their defaults, for run.json.
        progress: told of each stage's progress.

    Raises:
        DirectoryBusyError, OutputError: another run writes there, or it cannot be written to.
    """
    stages = Stages()
    check_space(out, plan.prepared.output_bytes(config))
    origin = {"command": list(command), "options": options_record(config, sources)}
    with run_lock(out):
        with stages("load"):
            states = load()
        backend = select_backend(
            config.backend, config.precision, config.devices
        )  # with the model in its memory
        prepared = plan.prepared.without_steps()
        table = Table(states, progress)
        record: dict[str, Any] = {
            "input": {"directory": None, "hub": None, "files": {}, "extraction": dict(made_by)},
            "planned_bytes": plan.memory.asdict(),
            "planned": {"bytes": plan.asdict(), "passes": plan.passes.total},
        }
        task = Task(prepared, out, config, backend, origin, stages)
        found = _evaluated(plan, config, backend, table, progress, record)
        return finish_model(task, found, record)


def _evaluated(
    plan: DirectPlan,
    config: RunConfig,
    backend: Backend,
    table: Table,
    progress: Progress,
    record: dict[str, Any],
) -> Iterator[LayerResult]:
    """What each layer gives, lot by lot; notes in the record how many passes there were."""
    prepared = plan.prepared
    for lot in plan.lots:
        number_of = {prepared.layers[number].index: number for number in lot}

        def evaluate(seat: Seat, numbers: Mapping[int, int] = number_of) -> LayerResult:
            number = numbers[seat.layer]
            layer = prepared.layers[number]
            rows = ComputedRows(prepared.artifact, layer, config.drop_dims, seat)

            def tell(stage: str, done: int, total: int) -> None:
                seat.check()
                if stage not in _OF_THE_MODEL:
                    progress(f"layer {seat.layer}: {stage}", done, total)

            with rows:
                return evaluate_layer(
                    *(prepared.plans[number], rows, config, backend, tell, prepared.blocks),
                    source=Computed(rows),
                )

        results = table.serve(list(number_of), evaluate)
        record["passes"] = table.passes
        while results:
            yield results.pop(0)
