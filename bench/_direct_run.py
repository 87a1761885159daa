"""One run without shards in a process of its own, which writes down what was planned for it.

`python -m bench._direct_run FILE synthetic DIM LAYERS ROWS` or `... model MODEL TRACES LAYERS`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from spectra.artifacts import Artifact, Sample, Step, described_artifact
from spectra.artifacts.encode import config_document, index_document
from spectra.atomic import write_bytes
from spectra.backend import select_backend
from spectra.direct import BatchStates, Bytes, DirectPlan, Need, plan_direct, run_direct
from spectra.engine import RunConfig
from spectra.strict_json import dumps

CATEGORIES = ("a", "b", "c", "d")
TRACE_ROWS, STEP_ROWS = 512, 32
HOST = 1 << 40

CONFIG = RunConfig(
    layers="all", backend="cpu", pools=("all",), num_bins=2, counts=(32,), repeats=1, matched=False
)


@dataclass(frozen=True)
class Drawn:
    """States drawn anew whenever they are asked for: well-conditioned, around a mean."""

    artifact: Artifact
    dim: int

    @property
    def traces(self) -> list[tuple[int, int]]:
        samples = self.artifact.index.samples
        return [(one.global_offset, one.global_offset + one.num_tokens) for one in samples]

    @property
    def batches(self) -> list[list[int]]:
        return [[number] for number in range(len(self.traces))]

    @property
    def need(self) -> Need:
        """A batch that is drawn and those of `FIRST_ROWS`, in the types that they are drawn in."""
        return Need(Bytes(12 * TRACE_ROWS * self.dim), Bytes(4 * TRACE_ROWS * self.dim * 2))

    def compute(self, batches: Sequence[int], layers: Sequence[int]) -> Iterator[BatchStates]:
        scale = (1 + np.arange(self.dim, dtype=np.float32)) ** -0.5
        for number in batches:
            yield {
                layer: [
                    (
                        np.random.default_rng((number, layer)).standard_normal(
                            (TRACE_ROWS, self.dim), np.float32
                        )
                        * scale
                        + 1
                    ).astype(ml_dtypes.bfloat16)
                ]
                for layer in layers
            }


def drawn(dim: int, layers: int, rows: int) -> Drawn:
    """Traces of 512 tokens in steps of 32, with so many rows at least."""
    samples = []
    for trace in range(-(-rows // TRACE_ROWS)):
        offset, steps = trace * TRACE_ROWS, []
        for number, start in enumerate(range(0, TRACE_ROWS, STEP_ROWS)):
            stop = start + STEP_ROWS
            segment = "thought" if number % 4 else "solution"
            category = CATEGORIES[(number // 4 + trace) % len(CATEGORIES)]
            steps.append(Step(start, stop, offset + start, offset + stop, segment, category))
        samples.append(Sample(f"t{trace}", f"p{trace // 2}", offset, TRACE_ROWS, 0, tuple(steps)))
    total = len(samples) * TRACE_ROWS
    config = config_document(
        model="drawn",
        primary=layers,
        layers=dict.fromkeys(range(1, layers + 1), False),
        dim=dim,
        dtype="bfloat16",
        samples=samples,
        cuts=[(0, total)],
    )
    artifact = described_artifact(Path("drawn"), config, index_document(samples))
    return Drawn(artifact, dim)


def synthetic(dim: int, layers: int, rows: int, out: Path) -> DirectPlan:
    """Run it; the plan that it had."""
    states = drawn(dim, layers, rows)
    plan = plan_direct(states.artifact, CONFIG, select_backend("cpu"), states.need, HOST)
    run_direct(plan, out, CONFIG, lambda: states, {"drawn": True})
    return plan


def of_a_model(model: str, traces: int, layers: tuple[int, ...], out: Path) -> DirectPlan:
    """The same of made-up traces through a real model, with default options."""
    from extract import ExtractConfig, sample_traces, write_traces
    from extract.spectral import measure, plan_measurement

    file = out / f"traces{traces}.jsonl"
    write_traces(file, sample_traces(traces))
    config = ExtractConfig(
        traces=file, model=model, out=out / str(traces), backend="cpu", layers=layers
    )
    run = replace(RunConfig(), layers="all", backend="cpu")
    plan = plan_measurement(config, run).plan
    measure(config, run)
    return plan


def main(kind: str, *given: str) -> dict[str, Any]:
    """Run it; the bytes planned."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        if kind == "synthetic":
            dim, layers, rows = map(int, given)
            plan = synthetic(dim, layers, rows, out)
        else:
            model, traces, listed = given
            plan = of_a_model(model, int(traces), tuple(map(int, listed.split(","))), out)
    config, parts = plan.prepared.artifact.config, plan.asdict()
    planned = {name: part["host"] for name, part in parts.items() if name != "total"}
    sizes = {"layers": len(plan.prepared.layers), "d": config.hidden_dim, "rows": config.num_tokens}
    return {**sizes, **planned, "planned": sum(planned.values())}


if __name__ == "__main__":
    write_bytes(Path(sys.argv[1]), dumps(main(*sys.argv[2:])).encode())
