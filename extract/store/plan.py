"""The plan: everything about the output that is known before the first forward pass.

Tokens are counted by then, so each sample's rows, the shards and the batches are settled here.
bfloat16 results depend on the shape of the batch that they were computed in, therefore the batches
belong to what decides the bytes and are part of the plan's hash.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from extract.store.buckets import Batch
from extract.store.kept import Ranges
from spectra.artifacts import Sample, Step
from spectra.artifacts.encode import index_document, index_text, shard_header
from spectra.artifacts.layout import NO_EXTRA
from spectra.artifacts.rows import DTYPES
from spectra.strict_json import JSON, JSONObject, dumps


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer to save: 0 is the embeddings, k the residual stream after block k."""

    index: int
    final_norm: bool


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedSample:
    """A trace as tokens: `token_ids` [n] int32, of which the first `prompt_tokens` are the prompt.

    The steps' `token_*` count from the first token; their `global_*` are filled in by the plan.
    `extra` are further fields of the sample in index.json.
    """

    sample_id: str
    problem_id: str | None
    token_ids: NDArray[np.int32]
    prompt_tokens: int
    steps: tuple[Step, ...]
    extra: JSONObject = field(default_factory=lambda: NO_EXTRA)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedSample:
    """A sample with its place in the output.

    `entry` is what index.json will say of it; its rows are those of the tokens in `kept`.
    `token_ids` [length] int32 end at the last kept token: attention is causal, so nothing after it
    can change a kept row.
    """

    entry: Sample
    token_ids: NDArray[np.int32]
    kept: Ranges

    @property
    def length(self) -> int:
        """Tokens to compute; 0 where no row is kept."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Totals:
    """How much a plan asks for.

    `tokens` are those of the samples to compute, `padded_tokens` those of all batches, `rows` the
    rows that are kept in each layer, `shards` the files of each layer and `files` those of all,
    `bytes` the size of all shards and of the index.
    """

    samples: int
    steps: int
    tokens: int
    padded_tokens: int
    rows: int
    batches: int
    shapes: int
    shards: int
    files: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be written and in which batches it is computed; made by `make_plan`.

    `samples` are in trace order, `layers` by rising index, `cuts` are the shards' row ranges.
    """

    samples: tuple[PlannedSample, ...]
    layers: tuple[SavedLayer, ...]
    hidden_dim: int
    storage_dtype: str
    cuts: tuple[tuple[int, int], ...]
    batches: tuple[Batch, ...]

    def token_ids(self, batch: Batch, *, pad: int = 0) -> NDArray[np.int32]:
        """The batch's tokens, [B, T] int32, padded on the right with `pad`."""
        result = np.full(batch.shape, pad, np.int32)
        for row, sample in enumerate(batch.samples):
            tokens = self.samples[sample].token_ids
            result[row, : len(tokens)] = tokens
        return result

    def lengths(self, batch: Batch) -> NDArray[np.int32]:
        """Each row's tokens without padding, [B] int32; 0 for a row that is all padding."""
        result = np.zeros(batch.shape[0], np.int32)
        result[: len(batch.samples)] = [self.samples[sample].length for sample in batch.samples]
        return result

    @property
    def entries(self) -> list[Sample]:
        """The samples as index.json will have them."""
        return [sample.entry for sample in self.samples]

    def shard_of(self, sample: int) -> int:
        """The number of the shard that has the rows of sample number `sample`."""
        row = self.samples[sample].entry.global_offset
        return bisect_right(self.cuts, row, key=lambda cut: cut[0]) - 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one token's state in one layer."""
        return self.hidden_dim * DTYPES[self.storage_dtype].itemsize

    def shard_header(self, number: int) -> bytes:
        """What precedes the rows in shard `number` of any layer."""
        start, end = self.cuts[number]
        return shard_header(end - start, self.hidden_dim, self.storage_dtype)

    def shard_size(self, number: int) -> int:
        """Bytes of shard `number` of any layer."""
        start, end = self.cuts[number]
        return len(self.shard_header(number)) + (end - start) * self.row_bytes

    @cached_property
    def totals(self) -> Totals:
        """How much there is to compute and to write."""
        shard_bytes = sum(self.shard_size(number) for number in range(len(self.cuts)))
        return Totals(
            samples=len(self.samples),
            steps=sum(len(sample.entry.steps) for sample in self.samples),
            tokens=sum(sample.length for sample in self.samples),
            padded_tokens=sum(rows * length for rows, length in self._shapes),
            rows=self.cuts[-1][1] if self.cuts else 0,
            batches=len(self.batches),
            shapes=len(set(self._shapes)),
            shards=len(self.cuts),
            files=len(self.cuts) * len(self.layers),
            bytes=shard_bytes * len(self.layers) + self._index[0],
        )

    @cached_property
    def sha256(self) -> str:
        """The hash, in hexadecimal, of all that decides the bytes save the model itself."""
        facts: dict[str, JSON] = {
            "layers": [[layer.index, layer.final_norm] for layer in self.layers],
            "hidden_dim": self.hidden_dim,
            "storage_dtype": self.storage_dtype,
            "cuts": [list(cut) for cut in self.cuts],
            "batches": [[*batch.shape, list(batch.samples)] for batch in self.batches],
            "kept": [[list(kept) for kept in sample.kept] for sample in self.samples],
            "lengths": [sample.length for sample in self.samples],
            "index": self._index[1],
        }
        digest = hashlib.sha256(dumps(facts, indent=None).encode())
        for sample in self.samples:
            digest.update(sample.token_ids.astype("<i4").tobytes())
        return digest.hexdigest()

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        return [batch.shape for batch in self.batches]

    @cached_property
    def _index(self) -> tuple[int, str]:
        """Size and hash of index.json: the text itself is too large to keep."""
        text = index_text(index_document(self.entries)).encode()
        return len(text), hashlib.sha256(text).hexdigest()
