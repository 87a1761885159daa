"""Layers and pools of models as sources of rows, on the traces that all of them have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spectra.artifacts import (
    Artifact,
    Layer,
    Place,
    Sample,
    find_artifacts,
    is_hub_url,
    open_artifact,
)
from spectra.errors import UsageError
from spectra.pooling import POOLS, Pool

_TEXT = re.compile(rf"(?P<path>.+?)(@(?P<layer>\d+))?(:(?P<pool>{'|'.join(POOLS)}))?")


@dataclass(frozen=True, slots=True)
class Source:
    """A model directory, with the layer (None: the primary one) and the pool of its rows."""

    path: Place
    layer: int | None = None
    pool: Pool = "all"

    @classmethod
    def parse(cls, text: str) -> Source:
        """From DIR[@LAYER][:POOL]; a directory of that very name is meant before anything else.

        DIR may be hf://datasets/OWNER/NAME[@REVISION]/PATH, which is looked up at once.
        """
        if Path(text).exists():
            return cls(Path(text))
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} names no source. Expected DIR[@LAYER][:POOL].")
        layer = match["layer"]
        pool: Pool = next((p for p in POOLS if p == match["pool"]), "all")
        return cls(_place(match["path"]), None if layer is None else int(layer), pool)


def _place(text: str) -> Place:
    if not is_hub_url(text):
        return Path(text)
    found = find_artifacts(text)
    if len(found) > 1:
        names = ", ".join(place.name for place in found)
        raise UsageError(f"{text} holds {len(found)} models: {names}. Expected the path of one.")
    return found[0]


@dataclass(frozen=True, slots=True)
class Opened:
    """A source's artifact, its layer, and the traces that all sources have, in one order.

    Attributes:
        left_out: ids of the traces that some other source lacks.
    """

    source: Source
    artifact: Artifact
    layer: Layer
    samples: tuple[Sample, ...]
    left_out: tuple[str, ...]

    def fetched(self) -> Opened:
        """With the layer's rows there to be read."""
        return replace(self, artifact=self.artifact.fetched([self.layer]))

    def asdict(self) -> dict[str, object]:
        """For the head of the files."""
        config = self.artifact.config
        return {
            "source": str(self.source.path),
            "model": config.model,
            "layer": self.layer.index,
            "pool": self.source.pool,
            "dim": config.hidden_dim,
            "traces": len(self.samples) + len(self.left_out),
            "left_out": list(self.left_out),
        }


def opened_one(source: Source) -> Opened:
    """A source by itself, with all of its traces; raises `InputError`."""
    artifact = open_artifact(source.path)
    return Opened(source, artifact, artifact.layer(source.layer), artifact.index.samples, ())


def opened(sources: Sequence[Source]) -> tuple[Opened, ...]:
    """The sources with their shared traces, in the order of the first one's index.

    Raises:
        UsageError: there are fewer than two sources, or they share no trace.
        InputError: one is missing, malformed or has no such layer.
    """
    if len(sources) < 2:
        raise UsageError(f"{len(sources)} source was given. Expected two or more to compare.")
    artifacts = [open_artifact(source.path) for source in sources]
    by_id = [{sample.sample_id: sample for sample in a.index.samples} for a in artifacts]
    shared = [one for one in by_id[0] if all(one in other for other in by_id)]
    if not shared:
        few = ", ".join(repr(one) for one in list(by_id[0])[:3])
        raise UsageError(
            f"the sources share no trace: {sources[0].path} has {few}, …, which "
            f"{' or '.join(str(source.path) for source in sources[1:])} lacks. Expected runs over "
            "the same traces, with the same sample_id."
        )
    kept = set(shared)
    return tuple(
        Opened(
            source,
            artifact,
            artifact.layer(source.layer),
            tuple(samples[one] for one in shared),
            tuple(one for one in samples if one not in kept),
        )
        for source, artifact, samples in zip(sources, artifacts, by_id, strict=True)
    )


def named_problems(sources: Sequence[Opened]) -> list[Sample]:
    """The shared traces, each with the problem that the first source that names one gives it."""
    named = []
    for same in zip(*(one.samples for one in sources), strict=True):
        problems = [sample.problem_id for sample in same if sample.problem_id is not None]
        named.append(replace(same[0], problem_id=problems[0] if problems else None))
    return named


def warnings(sources: Sequence[Opened]) -> list[str]:
    """What is odd about the traces that are shared."""
    found = []
    first = sources[0]
    unlike = [
        same[0].sample_id
        for same in zip(*(one.samples for one in sources), strict=True)
        if len({sample.problem_id for sample in same}) > 1
    ]
    if unlike:
        found.append(
            f"{len(unlike)} shared traces have another problem_id in another source, the first "
            f"{unlike[0]!r}: the first one given counts."
        )
    for other in sources[1:]:
        apart = [
            a.sample_id
            for a, b in zip(first.samples, other.samples, strict=True)
            if [(s.segment, s.category) for s in a.steps]
            != [(s.segment, s.category) for s in b.steps]
        ]
        if apart:
            found.append(
                f"{len(apart)} shared traces have other steps or labels in {other.source.path} "
                f"than in {first.source.path}, the first {apart[0]!r}: differences are of the "
                "labels, too."
            )
    return found
