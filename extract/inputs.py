"""Everything that is known before the first forward pass: model, tokens, plan, fingerprint."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal, cast

import jax
import jax.numpy as jnp

from extract.card import check_card
from extract.config import ExtractConfig
from extract.decoder.families import RopeVariant, spec_of
from extract.decoder.load import check_tensors
from extract.decoder.spec import DecoderSpec
from extract.spread import Spread, Work, check_degree, choose_degree
from extract.store import Batching, Plan, SavedLayer, check_place, make_plan
from extract.text import AlignmentReport
from extract.tokenizing import Progress, alignment_warnings, tokenized
from extract.weights import Checkpoint, open_checkpoint
from spectra._version import __version__
from spectra.backend import find_devices, usable_cores
from spectra.errors import UnknownLayerError
from spectra.notes import Notes
from spectra.provenance import installed
from spectra.strict_json import JSON

ComputeDtype = Literal["float32", "bfloat16"]

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "ml_dtypes", "tokenizers")

_BATCHING = {
    # Most of a second a shape at about a thousand tokens a second; long batches leave the caches.
    "cpu": Batching(max_tokens=512, length_multiple=32, shape_cost=1024),
    # Some seconds a shape at tens of thousands of tokens a second.
    "accelerator": Batching(max_tokens=16384, length_multiple=128, shape_cost=65536),
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """A model and the traces as the plan of an extraction; no weight is read yet."""

    config: ExtractConfig
    checkpoint: Checkpoint
    spec: DecoderSpec
    spread: Spread
    dtype: ComputeDtype
    plan: Plan
    reports: dict[str, AlignmentReport]
    fingerprint: dict[str, JSON]
    warnings: tuple[str, ...]

    @property
    def top(self) -> int:
        """The highest layer that is wanted: no block above it is loaded."""
        return _top(self.plan)

    @property
    def config_extra(self) -> dict[str, JSON]:
        """What config.json says of the model beside its name."""
        return {"num_hidden_layers": self.spec.num_layers}

    @property
    def platform(self) -> str:
        """The devices' platform: "cpu", "gpu" or "tpu"."""
        return str(self.spread.devices[0].platform)

    @property
    def work(self) -> Work:
        """What is computed, for the memory that it takes."""
        return Work(self.spec, self.top, jnp.dtype(self.dtype).itemsize, self.plan)


def gather(config: ExtractConfig, progress: Progress = lambda *_: None) -> Inputs:
    """Open the model, tokenise the traces, plan; raises `InputError` and `UsageError`."""
    check_place(config.out)
    if config.push_layout:
        check_card(config.out)
    devices = find_devices(config.backend)
    check_degree(config.tensor_parallel, devices)
    dtype = _compute_dtype(config, devices[0].platform)
    checkpoint = open_checkpoint(config.model, revision=config.revision)
    spec = spec_of(
        checkpoint.config,
        checkpoint.config_where,
        rope_variant=cast(RopeVariant, config.rope_variant),
    )
    layers = saved_layers(config, spec.num_layers)
    # Here too, and not only where they are loaded: nothing is written yet.
    check_tensors(spec, checkpoint.tensors, checkpoint.config_where)
    notes = Notes()
    reports: dict[str, AlignmentReport] = {}
    samples = tokenized(config, checkpoint, spec, notes, reports, progress)
    batching = _batching(config, devices[0].platform)
    plan = make_plan(
        samples,
        layers=layers,
        hidden_dim=spec.hidden_dim,
        batching=batching,
        only_step_tokens=config.only_step_tokens,
    )
    work = Work(spec, _top(plan), jnp.dtype(dtype).itemsize, plan)
    degree = choose_degree(config.tensor_parallel, devices, work, config.max_memory)
    spread = Spread.of(devices, degree)
    return Inputs(
        config=config,
        checkpoint=checkpoint,
        spec=spec,
        spread=spread,
        dtype=dtype,
        plan=plan,
        reports=reports,
        fingerprint=_fingerprint(config, checkpoint, spread, dtype),
        warnings=(
            *notes.sentences(str(config.traces), uncovered=0, num_tokens=0),
            *alignment_warnings(reports),
        ),
    )


def saved_layers(config: ExtractConfig, num_layers: int) -> list[SavedLayer]:
    """The layers that `config` asks of a model with this many blocks.

    Raises `UnknownLayerError`.
    """
    wanted = range(num_layers + 1) if config.layers == "all" else config.layers
    for index in wanted:
        if not -num_layers - 1 <= index <= num_layers:
            raise UnknownLayerError(
                f"Layer {index} is asked for, and the model has {num_layers} blocks. Expected 0 "
                f"(embeddings) to {num_layers} (after the last block), or -1 (the last) to "
                f"{-num_layers - 1}."
            )
    indices = [index % (num_layers + 1) for index in wanted]
    normed = {"on": set(indices), "off": set(), "auto": {num_layers}}[config.final_norm]
    return [SavedLayer(index, index in normed) for index in indices]


def _top(plan: Plan) -> int:
    return max(layer.index for layer in plan.layers)


def _compute_dtype(config: ExtractConfig, platform: str) -> ComputeDtype:
    if config.compute_dtype == "auto":
        return "float32" if platform == "cpu" else "bfloat16"
    return cast(ComputeDtype, config.compute_dtype)


def _batching(config: ExtractConfig, platform: str) -> Batching:
    usual = _BATCHING["cpu" if platform == "cpu" else "accelerator"]
    tokens = config.max_tokens_per_batch or usual.max_tokens
    return Batching(tokens, usual.length_multiple, usual.shape_cost)


def _fingerprint(
    config: ExtractConfig,
    checkpoint: Checkpoint,
    spread: Spread,
    dtype: ComputeDtype,
) -> dict[str, JSON]:
    """What decides the states' bytes beside the plan: a run resumes only with an equal one.

    The number of copies does not: each batch is computed by one.
    """
    one = spread.devices[0]
    device: dict[str, JSON] = {
        "platform": one.platform,
        "kind": one.device_kind,
        "tensor_parallel": spread.degree,
    }
    if one.platform == "cpu":
        # XLA cuts its products by the number of threads: one a core, or one a device if those are
        # more.
        threads = max(usable_cores(), jax.local_device_count("cpu"))
        device |= {"machine": platform.machine(), "threads": threads}
    versions: dict[str, JSON] = {name: installed(name) for name in _PACKAGES}
    return {
        "model": checkpoint.name,
        "weights": dict(checkpoint.provenance),
        "compute_dtype": dtype,
        "rope_variant": config.rope_variant,
        "device": device,
        "versions": {"spectra": __version__, **versions},
    }
