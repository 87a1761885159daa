"""All options of an extraction, validated once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from extract.decoder.families import RopeVariant
from spectra.backend import BACKENDS
from spectra.errors import UsageError

FINAL_NORMS = ("auto", "on", "off")
COMPUTE_DTYPES = ("auto", "float32", "bfloat16")
ROPE_VARIANTS: tuple[RopeVariant, ...] = get_args(RopeVariant)

_MOST = 2**31 - 1
"""Traces, and tokens of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractConfig:
    """What to extract, from what, how, to where.

    Attributes:
        traces: JSON Lines of annotated traces, plain, .xz, .gz or .zst.
        model: A Hugging Face directory, a GGUF file, or the hub's name of a model.
        out: The artifact's directory.
        revision: Branch, tag or commit of the hub's model.
        layers: Layers to save: 0 the embeddings, k the residual stream after block k, negative
            counted from the last, -1; or "all". The highest is the artifact's primary layer.
        final_norm: Whether the model's final norm is applied: "on" and "off" for every saved
            layer, "auto" as transformers' `hidden_states` has it, on the last layer alone.
        compute_dtype: "float32", "bfloat16", or "auto": float32 on a CPU, else bfloat16.
        rope_variant: "per_layer_type", or "all_layers" for Olmo 3 as transformers 5.0 to 5.12
            computed it.
        max_tokens_per_batch: Tokens of a batch, padding included; by the device if None.
        max_memory: Bytes that weights and batches may take where they are computed; 0 for what
            is free there.
        tensor_parallel: Devices that a copy of the model is spread over; further devices hold
            further copies. 0 for as few as hold the model.
        limit: How many traces to take from the beginning; all if None.
        only_step_tokens: Save the states of tokens that are in a step and no others.
        backend: "auto", "cpu", "gpu" or "tpu".
        fresh: Start over, whatever the directory has of an artifact.
        push_layout: Write the card of a dataset, README.md, beside the artifact's directory: of
            all artifacts there.
    """

    traces: Path
    model: str
    out: Path
    revision: str | None = None
    layers: tuple[int, ...] | Literal["all"] = (-1,)
    final_norm: str = "auto"
    compute_dtype: str = "auto"
    rope_variant: str = "per_layer_type"
    max_tokens_per_batch: int | None = None
    max_memory: int = 0
    tensor_parallel: int = 0
    limit: int | None = None
    only_step_tokens: bool = False
    backend: str = "auto"
    fresh: bool = False
    push_layout: bool = False

    def __post_init__(self) -> None:
        """Raises `UsageError`."""
        self._one_of("final_norm", FINAL_NORMS)
        self._one_of("compute_dtype", COMPUTE_DTYPES)
        self._one_of("rope_variant", ROPE_VARIANTS)
        self._one_of("backend", BACKENDS)
        self._positive("max_tokens_per_batch", self.max_tokens_per_batch)
        self._positive("limit", self.limit)
        if self.max_memory < 0:
            raise UsageError(f"max_memory is {self.max_memory}. Expected 0 or more bytes.")
        if self.tensor_parallel < 0:
            raise UsageError(
                f"tensor_parallel is {self.tensor_parallel}. Expected 0 or more devices."
            )
        if not self.layers:
            raise UsageError('layers is empty. Expected at least one layer, such as -1, or "all".')

    def asdict(self) -> dict[str, Any]:
        """The options by name, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"traces": str(self.traces), "out": str(self.out)}

    def _one_of(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise UsageError(f"{name} is {value!r}. Expected one of: {', '.join(choices)}.")

    @staticmethod
    def _positive(name: str, value: int | None) -> None:
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}. Expected 1 or more.")
        if value is not None and value > _MOST:
            raise UsageError(f"{name} is {value}. Expected at most {_MOST:,}.")
