"""From traces to metric files without shards: the model's states go straight to the spectral stage.

States are rounded as shards would have them and come from the same batches, so that the metrics
are those of an extraction and a run on it, but for sums that are rounded in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from extract.config import ExtractConfig
from extract.decoder.forward import Forward
from extract.estimate import check_memory, computing_bytes
from extract.heap import trim_heap
from extract.inputs import Inputs, gather
from extract.pipeline import computed, load
from extract.store import PlannedSample, artifact_documents, extraction_record
from extract.tokenizing import Progress
from spectra.artifacts import described_artifact
from spectra.direct import (
    FIRST_ROWS,
    BatchStates,
    Bytes,
    DirectPlan,
    Need,
    check_options,
    host_memory,
    plan_direct,
    run_direct,
    select_backend,
)
from spectra.strict_json import JSON

if TYPE_CHECKING:
    import jax

    from spectra.engine import RunConfig
    from spectra.pipeline import ModelRun

_UNNAMED = ("", ".", "..")


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is known before the model is loaded.

    Attributes:
        inputs: The model and the traces.
        plan: Layers, memory and passes of the spectral stage.
        out: The directory of the metric files.
        record: Says where the states come from, as config.json of their shards would.
    """

    inputs: Inputs
    plan: DirectPlan
    out: Path
    record: dict[str, JSON]


def measure(
    config: ExtractConfig,
    run: RunConfig,
    *,
    command: Sequence[str] = (),
    sources: Mapping[str, str] = {},
    progress: Progress = lambda *_: None,
) -> ModelRun:
    """Compute the metric files of traces' hidden states and write no states.

    Nothing is kept of what is stopped: metric files come all at once, at the end.

    Args:
        config: What is extracted, how; metric files go to `config.out`/<the model's name>/.
            `fresh` and `push_layout` say nothing here.
        run: How it is measured; its `layers` are among those of `config`, and its `backend` is.
        command: The command line, for run.json.
        sources: Where the options of `run` came from, for run.json.
        progress: Told of each stage's progress; each pass of the model counts tokens.

    Raises:
        UsageError: An option cannot be met, or needs shards.
        InputError, OutputError: As `extract.run` and `spectra.run` raise them.
    """
    measurement = plan_measurement(config, run, progress)
    return run_direct(
        measurement.plan,
        measurement.out,
        run,
        lambda: _States(measurement.inputs, load(measurement.inputs, lambda _: None, progress)),
        measurement.record,
        command=command,
        sources=sources,
        progress=progress,
    )


def plan_measurement(
    config: ExtractConfig, run: RunConfig, progress: Progress = lambda *_: None
) -> Measurement:
    """Open the model, tokenise the traces, plan; raises what `measure` raises before it loads."""
    check_options(run)
    inputs = gather(config, progress)
    check_memory(inputs, computing_bytes(inputs))
    backend = select_backend(run.backend, run.precision, run.devices)
    record = extraction_record(inputs.plan, inputs.fingerprint)
    out = config.out / results_name(inputs.checkpoint.name)
    documents = artifact_documents(
        inputs.plan, record, model=inputs.checkpoint.name, config_extra=inputs.config_extra
    )
    host = run.max_memory or host_memory(run)
    if inputs.platform == "cpu" and config.max_memory:
        host = config.max_memory
    plan = plan_direct(
        described_artifact(out, *documents), run, backend, _need(inputs), host, progress
    )
    warned = replace(plan.prepared, warnings=(*inputs.warnings, *plan.prepared.warnings))
    return Measurement(inputs, replace(plan, prepared=warned), out, record)


def results_name(model: str) -> str:
    """The directory's name for results of a model of this name: OWNER/NAME gives NAME."""
    name = PurePosixPath(model).name
    return "model" if name in _UNNAMED else name


def _need(inputs: Inputs) -> Need:
    """The model's memory: on a device or the host, and the states' of a layer on the way."""
    sizes, rows = inputs.work.sizes, 0
    spread, held = inputs.spread, 0
    for batch in inputs.plan.batches:
        if rows >= FIRST_ROWS:
            break
        held += batch.shape[0] * batch.shape[1]
        rows += int(inputs.plan.lengths(batch).sum())
    # Those that compute, one that waits to be taken, one that is taken, those that began.
    states = (sum(sizes[: spread.batches + spread.copies + 1]) + held) * inputs.plan.row_bytes
    model = computing_bytes(inputs)
    if inputs.platform == "cpu":
        return Need(Bytes(model), Bytes(states))
    return Need(Bytes(0, model // len(spread.devices)), Bytes(states, states))


class _States:
    """The loaded model over the batches of an extraction: `spectra.direct.States`."""

    def __init__(self, inputs: Inputs, forwards: Sequence[Forward]) -> None:
        self._inputs, self._forwards = inputs, forwards
        entries = inputs.plan.entries
        self.traces = [(one.global_offset, one.global_offset + one.num_tokens) for one in entries]
        self.batches = [batch.samples for batch in inputs.plan.batches]
        trim_heap()

    def compute(self, batches: Sequence[int], layers: Sequence[int]) -> Iterator[BatchStates]:
        """The states of some batches, in turn."""
        plan = self._inputs.plan
        chosen = [plan.batches[number] for number in batches]
        for batch, states in computed(self._inputs, self._forwards, chosen, frozenset(layers)):
            for array in states.values():
                array.copy_to_host_async()
            samples = [plan.samples[number] for number in batch.samples]
            yield {layer: _rows(samples, array) for layer, array in states.items()}
            trim_heap()


def _rows(samples: Sequence[PlannedSample], states: jax.Array) -> list[NDArray[Any]]:
    """Each sample's kept rows [n, d] of a batch's states [B, T, d]."""
    host = np.asarray(states)
    return [
        np.concatenate([host[row, start:end] for start, end in sample.kept])
        if len(sample.kept) > 1
        else host[row, slice(*sample.kept[0])]
        for row, sample in enumerate(samples)
    ]
