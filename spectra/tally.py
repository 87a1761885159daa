"""How many traces, steps and tokens each label has, as labelled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from spectra.artifacts import Sample

Kind: TypeAlias = Literal["segment", "category"]


def tally(name: Kind, samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """{name: the label, "traces", "steps", "tokens"} of each label, most tokens first."""
    traces: defaultdict[str | None, int] = defaultdict(int)
    steps: defaultdict[str | None, int] = defaultdict(int)
    tokens: defaultdict[str | None, int] = defaultdict(int)
    for sample in samples:
        for step in sample.steps:
            label = getattr(step, name)
            steps[label] += 1
            tokens[label] += step.token_end - step.token_start
        for label in {getattr(step, name) for step in sample.steps}:
            traces[label] += 1
    return [
        {name: label, "traces": traces[label], "steps": steps[label], "tokens": tokens[label]}
        for label in sorted(steps, key=lambda label: (-tokens[label], label or ""))
    ]
