"""Making the plan: from tokenised traces to rows, shards and batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from extract.store.buckets import Batching, make_batches
from extract.store.errors import RepeatedLayerError
from extract.store.kept import Ranges, keep_rows, step_ranges
from extract.store.plan import Plan, PlannedSample, SavedLayer, TokenizedSample
from spectra.artifacts import Sample
from spectra.artifacts.encode import config_document, cut_shards, index_document
from spectra.artifacts.write import check_documents


def make_plan(
    samples: Iterable[TokenizedSample],
    *,
    layers: Sequence[SavedLayer],
    hidden_dim: int,
    batching: Batching,
    storage_dtype: str = "bfloat16",
    shard_rows: int = 65536,
    only_step_tokens: bool = False,
) -> Plan:
    """The plan for `samples`, in their order; the same input gives the same plan everywhere.

    Args:
        samples: The traces, tokenised.
        layers: What to save, at least one layer.
        hidden_dim: The width of a row.
        batching: Budget and costs of the batches.
        storage_dtype: "bfloat16", "float16" or "float32".
        shard_rows: Rows a shard may have; a longer sample has a longer shard of its own.
        only_step_tokens: Keep the rows of tokens that are in a step and no others.

    Raises:
        RepeatedLayerError: A layer is asked for twice.
        InputError: What the reader of the artifact would refuse (`DuplicateSampleError`,
            `StepRangeError`, …).
    """
    tokenized = tuple(samples)
    entries = _consecutive([_entry(sample) for sample in tokenized])
    layers = _each_once(layers)
    _check(entries, layers, hidden_dim, storage_dtype)
    kept = [_all_tokens(sample) for sample in entries]
    if only_step_tokens:
        kept = [step_ranges(sample.steps) for sample in entries]
        entries = _consecutive(list(map(keep_rows, entries, kept)))
    planned = tuple(map(_plan_sample, entries, tokenized, kept))
    return Plan(
        samples=planned,
        layers=layers,
        hidden_dim=hidden_dim,
        storage_dtype=storage_dtype,
        cuts=tuple(cut_shards(entries, shard_rows)),
        batches=make_batches([sample.length for sample in planned], batching),
    )


def _each_once(layers: Sequence[SavedLayer]) -> tuple[SavedLayer, ...]:
    """By rising index."""
    indices = [layer.index for layer in layers]
    for index in indices:
        if indices.count(index) > 1:
            raise RepeatedLayerError(
                f"Layer {index} is asked for {indices.count(index)} times in {indices}. Expected "
                "each layer once, with or without the final norm; extract the other way into "
                "another directory."
            )
    return tuple(sorted(layers, key=lambda layer: layer.index))


def _entry(sample: TokenizedSample) -> Sample:
    return Sample(
        sample_id=sample.sample_id,
        problem_id=sample.problem_id,
        global_offset=0,
        num_tokens=len(sample.token_ids),
        prompt_tokens=sample.prompt_tokens,
        steps=sample.steps,
        extra=sample.extra,
    )


def _consecutive(samples: Sequence[Sample]) -> list[Sample]:
    """The samples one after the other, whatever their offsets were."""
    result: list[Sample] = []
    offset = 0
    for sample in samples:
        steps = tuple(
            replace(
                step, global_start=offset + step.token_start, global_end=offset + step.token_end
            )
            for step in sample.steps
        )
        result.append(replace(sample, global_offset=offset, steps=steps))
        offset += sample.num_tokens
    return result


def _check(
    entries: Sequence[Sample], layers: Sequence[SavedLayer], hidden_dim: int, storage_dtype: str
) -> None:
    """Raise what the reader would in the end, before hours are spent on the states."""
    config = config_document(
        model="planned",
        primary=layers[-1].index,
        layers={layer.index: layer.final_norm for layer in layers},
        dim=hidden_dim,
        dtype=storage_dtype,
        samples=entries,
        cuts=cut_shards(entries, sum(sample.num_tokens for sample in entries)),
    )
    check_documents(Path("planned"), config, index_document(entries))


def _all_tokens(sample: Sample) -> Ranges:
    return ((0, sample.num_tokens),) if sample.num_tokens else ()


def _plan_sample(entry: Sample, sample: TokenizedSample, kept: Ranges) -> PlannedSample:
    return PlannedSample(entry, sample.token_ids[: kept[-1][1] if kept else 0], kept)
