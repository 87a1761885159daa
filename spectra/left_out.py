"""Tokens that no group has: first ones of a trace, outliers by norm, and what is not finite."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import Artifact, RowReader, Sample
from spectra.distributed import ALONE, Processes, span
from spectra.engine import Progress, RunConfig
from spectra.engine.stream import BLOCK_BYTES, scan_bad_rows
from spectra.errors import NonFiniteRowsError
from spectra.grouping import Ints, Steps
from spectra.linalg import F64
from spectra.pooling import StepTokens

NORMAL = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""

_NONE = np.empty(0, np.int64)

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Sorted token rows of steps that are left out, by the reason.

    Attributes:
        nonfinite: they hold NaN or infinity, and such are dropped.
        first: they are among the first of their trace.
        norms: their norm is too large.
        above: the largest norm that is kept; None where none is too large.
    """

    nonfinite: Ints
    first: Ints
    norms: Ints
    above: float | None = None

    @property
    def tokens(self) -> Ints:
        """All of them, each once."""
        return np.unique(np.concatenate([self.nonfinite, self.first, self.norms]))

    def asdict(self, config: RunConfig) -> dict[str, Any]:
        """How many, beside the options that say which, for the head of the files."""
        return {
            "dimensions": sorted(set(config.drop_dims)),
            "first_tokens": {"of_each_trace": config.drop_first, "tokens": len(self.first)},
            "large_norms": {
                "deviations": config.drop_norms or None,
                "above": self.above,
                "tokens": len(self.norms),
            },
            "nonfinite_tokens": len(self.nonfinite),
        }


def tokens_left_out(
    artifact: Artifact,
    reader: RowReader,
    steps: Steps,
    config: RunConfig,
    progress: Progress,
    processes: Processes = ALONE,
) -> LeftOut:
    """What the options leave out of a layer; enters `reader` only where that depends on states.

    Each of several processes looks at its share of them.

    Raises:
        NonFiniteRowsError: there are such, and the run is to stop on them.
    """
    samples, every = artifact.index.samples, StepTokens.of(steps, _NONE)
    first = [
        np.arange(one.global_offset, one.global_offset + min(config.drop_first, one.num_tokens))
        for one in samples
    ]
    early = np.unique(np.concatenate([_NONE, *first])).astype(np.int64)
    early = early[every.hold(early)]
    bad = _NONE if config.nonfinite == "null" else _nonfinite(reader, every, progress, processes)
    rest = np.setdiff1d(bad, early)
    if config.nonfinite == "error" and len(rest):
        raise NonFiniteRowsError(
            f"{locator(samples)(int(rest[0]))}: the hidden state holds NaN or infinity "
            "(--nonfinite error). Expected finite values; use --nonfinite null to leave the groups "
            "undefined, or --nonfinite drop to leave such tokens out."
        )
    large, above = _NONE, None
    if config.drop_norms:
        norms = _norms(reader, progress, processes)
        tokens = np.flatnonzero(np.isfinite(norms))
        tokens = np.setdiff1d(tokens[every.hold(tokens)], early)
        large, above = _outliers(tokens, norms[tokens], config.drop_norms)
    return LeftOut(rest, early, large, above)


def _nonfinite(
    reader: RowReader, every: StepTokens, progress: Progress, processes: Processes
) -> Ints:
    own = span(reader.num_rows, processes.rank, processes.count)
    with reader:
        bad = scan_bad_rows(reader, own, _told(progress, "checking", own))
    bad = _of_all(bad, processes)
    return bad[every.hold(bad)]


def _norms(reader: RowReader, progress: Progress, processes: Processes) -> F64:
    """[num_rows] of every row."""
    size = max(1, BLOCK_BYTES // (reader.dim * reader.dtype.itemsize))
    begin, end = span(reader.num_rows, processes.rank, processes.count)
    tell, norms = _told(progress, "norms", (begin, end)), np.empty(end - begin)
    with reader:
        for start in range(begin, end, size):
            stop = min(start + size, end)
            with np.errstate(invalid="ignore"):  # widening a signalling NaN warns
                rows = reader.read(start, stop).astype(np.float64)
                norms[start - begin : stop - begin] = np.linalg.norm(rows, axis=1)
            tell(stop)
    return _of_all(norms, processes)


def _told(progress: Progress, stage: str, own: tuple[int, int]) -> Callable[[int], None]:
    return lambda row: progress(stage, row - own[0], own[1] - own[0])


def _of_all(own: NDArray[Number], processes: Processes) -> NDArray[Number]:
    """What processes found, one after the other."""
    processes.gather("rows looked at", len(own))
    found = processes.collect(own.tobytes())
    return np.concatenate([np.frombuffer(one, own.dtype) for one in found])


def _outliers(tokens: Ints, norms: F64, deviations: float) -> tuple[Ints, float | None]:
    if len(tokens) == 0:
        return tokens, None
    middle = float(np.median(norms))
    above = middle + deviations * NORMAL * float(np.median(np.abs(norms - middle)))
    return tokens[norms > above], above


def locator(samples: Sequence[Sample]) -> Callable[[int], str]:
    """Names a global token row: its sample and its place in it."""
    filled = (sample for sample in samples if sample.num_tokens)
    ordered = sorted(filled, key=lambda sample: sample.global_offset)
    offsets = [sample.global_offset for sample in ordered]

    def locate(row: int) -> str:
        sample = ordered[bisect_right(offsets, row) - 1]
        return f"sample {sample.sample_id!r}, token {row - sample.global_offset} (row {row})"

    return locate
