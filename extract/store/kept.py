"""Keeping the rows of step tokens only: which tokens, and where their rows are then.

What is told of a sample and its steps in index.json then counts kept rows, so that the layout's
rules hold unchanged; the tokens of the whole sample stand in further fields, `source_…`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spectra.artifacts import Sample, Step

Ranges = tuple[tuple[int, int], ...]
"""Half-open token ranges, rising, none empty, none touching the next."""


def step_ranges(steps: Sequence[Step]) -> Ranges:
    """The tokens that are in a step."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((step.token_start, step.token_end) for step in steps):
        if start == end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def keep_rows(sample: Sample, kept: Ranges) -> Sample:
    """`sample` at global offset 0, its ranges counted in the tokens of `kept` alone.

    `prompt_tokens` becomes the number of kept rows that are the prompt's: 0 where no step reaches
    into it.
    """
    rows = _RowsBefore(kept)
    prompt = sample.prompt_tokens
    source = {"source_num_tokens": sample.num_tokens, "source_prompt_tokens": prompt}
    return replace(
        sample,
        global_offset=0,
        num_tokens=sum(end - start for start, end in kept),
        prompt_tokens=None if prompt is None else rows(prompt),
        steps=tuple(_keep_step(step, rows) for step in sample.steps),
        extra={**sample.extra, **source},
    )


def _keep_step(step: Step, rows: _RowsBefore) -> Step:
    source = {"source_token_start": step.token_start, "source_token_end": step.token_end}
    start, end = rows(step.token_start), rows(step.token_end)
    return replace(
        step,
        token_start=start,
        token_end=end,
        global_start=start,
        global_end=end,
        extra={**step.extra, **source},
    )


class _RowsBefore:
    """How many kept rows come before a token."""

    def __init__(self, kept: Ranges) -> None:
        self._borders: NDArray[np.int64] = np.array(kept, np.int64).reshape(-1, 2)
        lengths = self._borders[:, 1] - self._borders[:, 0]
        self._before = np.concatenate([[0], np.cumsum(lengths)])

    def __call__(self, token: int) -> int:
        # The ranges that begin before the token count whole, less what the last has after it.
        begun = int(np.searchsorted(self._borders[:, 0], token))
        beyond = max(0, int(self._borders[begun - 1, 1]) - token) if begun else 0
        return int(self._before[begun]) - beyond
