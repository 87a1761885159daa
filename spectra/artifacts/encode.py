"""From typed objects to the JSON and the headers that are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spectra.artifacts.layout import FORMAT_VERSION, TENSOR_NAME, Sample, Step
from spectra.artifacts.rows import DTYPES
from spectra.artifacts.shardnames import shard_name
from spectra.strict_json import JSON, JSONObject, dumps

Cuts = list[tuple[int, int]]
"""Row ranges, one for each shard."""

TENSOR_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
"""safetensors' names of the storage dtypes."""


def cut_shards(samples: Sequence[Sample], shard_rows: int) -> Cuts:
    """Row ranges of the shards, each ending where a sample ends.

    A shard has at most `shard_rows` rows, save that a longer sample has a longer one of its own.
    """
    cuts: Cuts = []
    start = end = 0
    for sample_end in sorted(s.global_offset + s.num_tokens for s in samples):
        if sample_end - start > shard_rows and end > start:
            cuts.append((start, end))
            start = end
        end = sample_end
    return [*cuts, (start, end)] if end > start else cuts


def config_document(
    *,
    model: str,
    primary: int,
    layers: Mapping[int, bool | None],
    dim: int,
    dtype: str,
    samples: Sequence[Sample],
    cuts: Cuts,
) -> dict[str, JSON]:
    """config.json of `layers`, whose values say whether the final norm was applied."""
    return {
        "format_version": FORMAT_VERSION,
        "model": model,
        "layer": primary,
        "saved_layers": list(layers),
        "hidden_dim": dim,
        "storage_dtype": dtype,
        "num_tokens": cuts[-1][1] if cuts else 0,
        "num_samples": len(samples),
        "num_steps": sum(len(sample.steps) for sample in samples),
        "shards": shard_entries(primary, cuts),
        "layers": [
            {"index": layer, "final_norm": final_norm, "shards": shard_entries(layer, cuts)}
            for layer, final_norm in layers.items()
        ],
    }


def index_document(samples: Sequence[Sample]) -> dict[str, JSON]:
    """index.json."""
    return {"format_version": FORMAT_VERSION, "samples": sample_entries(samples)}


def shard_entries(layer: int, cuts: Cuts) -> JSON:
    """`shards` of a layer whose files hold the row ranges `cuts`."""
    return [
        {"file": shard_name(layer, number), "token_start": start, "token_end": end}
        for number, (start, end) in enumerate(cuts)
    ]


def sample_entries(samples: Sequence[Sample]) -> list[JSON]:
    """`samples` of index.json."""
    return [
        with_extra(
            {
                "sample_id": sample.sample_id,
                "problem_id": sample.problem_id,
                "global_offset": sample.global_offset,
                "num_tokens": sample.num_tokens,
                "prompt_tokens": sample.prompt_tokens,
                "steps": [_step(step) for step in sample.steps],
            },
            sample.extra,
        )
        for sample in samples
    ]


def _step(step: Step) -> JSON:
    known: dict[str, JSON] = {
        "token_start": step.token_start,
        "token_end": step.token_end,
        "global_start": step.global_start,
        "global_end": step.global_end,
        "segment": step.segment,
        "category": step.category,
        "char_start": step.char_start,
        "char_end": step.char_end,
    }
    return with_extra(known, step.extra)


def with_extra(known: dict[str, JSON], extra: JSONObject) -> dict[str, JSON]:
    """`known` followed by the fields of `extra` that it does not have."""
    return known | {key: value for key, value in extra.items() if key not in known}


def index_text(index: dict[str, JSON]) -> str:
    """A line a sample: short enough to parse fast, and still something to look at."""
    samples = index["samples"]
    assert isinstance(samples, list)
    lines = ",\n".join(dumps(sample, indent=None).rstrip() for sample in samples)
    others = {key: value for key, value in index.items() if key != "samples"}
    return f'{dumps(others, indent=None).rstrip()[:-1]}, "samples": [\n{lines}\n]}}\n'


def shard_header(rows: int, dim: int, dtype: str) -> bytes:
    """The bytes before the data of a shard [rows, dim]."""
    tensor = {
        "dtype": TENSOR_DTYPES[dtype],
        "shape": [rows, dim],
        "data_offsets": [0, rows * dim * DTYPES[dtype].itemsize],
    }
    text = dumps({TENSOR_NAME: tensor}, indent=None).strip().encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data to 8 bytes
    return len(text).to_bytes(8, "little") + text
