"""Artifacts to damage: opened and read, planned, or run to the metric files."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectra
from spectra import strict_json
from spectra.artifacts import Sample, open_artifact, verify_artifact, write_artifact
from spectra.artifacts.manifest import MANIFEST_NAME
from spectra.backend import select_backend
from spectra.categories import IDENTITY
from spectra.engine import RunConfig
from spectra.errors import ManifestMismatchError, SpectraError
from spectra.grouping import Steps
from spectra.outputs import RUN_FILE
from spectra.preparation import prepare
from tests.artifact_files import rows, step
from tests.mutation import json_edits
from tests.mutation.file_edits import Place, changed, edit
from tests.mutation.subject import Parts, Subject

_LABELS = ("category", "segment", "step")
_CONTENT = (*_LABELS, "bits", "bits", "states", "states")
_STATES = (0x0000, 0x8000, 0x0001, 0x3F80, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0x0080)
"""Zeros, the smallest, one, the largest, infinities, NaN and the smallest normal, as bfloat16."""

CONFIG = RunConfig(counts=(4,), repeats=1, num_bins=2, pools=("all",), jackknife="off")
"""A short run, whose shapes are compiled once for nearly all trials."""


def write_small(path: Path) -> Path:
    """Four traces of 10 rows, layers 2 and 5 in three shards each, d = 8."""
    samples = [_sample(number) for number in range(4)]
    layers = {2: rows(40, seed=2), 5: rows(40, seed=5)}
    return write_artifact(
        path, model="small", layers=layers, samples=samples, final_norm=False, shard_rows=15
    )


def _sample(number: int) -> Sample:
    at = 10 * number
    steps = (
        step(at, 2, 5, "thought", "Deduction"),
        step(at, 5, 8, "thought", ("Check", None)[number % 2]),
        step(at, 8, 10, "solution", "Final Answer"),
    )
    return Sample(f"s{number}", f"p{number // 2}", at, 10, 2, steps)


def _open(path: Path) -> Parts:
    artifact = open_artifact(path)
    yield repr(artifact.config)
    yield repr(artifact.index)
    for layer in artifact.config.layers:
        with artifact.open_rows(layer) as reader:
            yield reader.read(0, reader.num_rows).tobytes()
    steps = Steps.of(artifact.index.samples, IDENTITY)
    yield np.stack([steps.start, steps.stop, steps.segment, steps.trace]).tobytes()


def _plan(path: Path) -> Parts:
    prepared = prepare(path, CONFIG, select_backend("cpu", "exact"))
    assert all(plan.passes >= 1 for plan in prepared.plans)
    yield from _open(path)


def _run(path: Path) -> Parts:
    """The metric files: strict JSON, so that no number in them is NaN; nothing after an error."""
    out = path.parent / "metrics"
    shutil.rmtree(out, ignore_errors=True)
    try:
        (done,) = spectra.run(path, out, CONFIG)
    except SpectraError:
        assert not [file for file in out.rglob("*") if file.is_file()]
        raise
    for file in sorted(done.out.rglob("*.json")):
        content = file.read_bytes()
        strict_json.loads(content, where=str(file))
        if file.name != RUN_FILE:
            yield content


def _damage_content(place: Place, rng: random.Random) -> str:
    """Nine times in ten an edit after which all of it can still be read: states, labels, steps."""
    kind = rng.choice(_CONTENT)
    try:
        if rng.random() < 0.1:
            return edit(place, rng)
        return (
            _damage_index(place, kind, rng) if kind in _LABELS else _damage_rows(place, kind, rng)
        )
    except (ValueError, LookupError, TypeError, RecursionError):  # an earlier edit broke it
        return edit(place, rng)


def _damage_index(place: Place, kind: str, rng: random.Random) -> str:
    index: Any = json.loads(place.bytes_of("index.json"))
    one = rng.choice(rng.choice(index["samples"])["steps"])
    if kind == "step":
        end = rng.randint(one["token_start"], 10)
        one["global_end"] += end - one["token_end"]
        one["token_end"] = end
    else:
        one[kind] = rng.choice([None, *json_edits.TEXTS])
    place.write("index.json", json.dumps(index).encode())
    return f"{kind} {one}"[:200]


def damage_states(place: Place, rng: random.Random) -> str:
    """Change states of the layer that is run, and nothing else; what was done."""
    return _damage_rows(place, rng.choice(["bits", "states"]), rng)


def _damage_rows(place: Place, kind: str, rng: random.Random) -> str:
    """Of the layer that is run."""
    name = rng.choice([name for name in place.files if "layer5" in name])
    data = bytearray(place.bytes_of(name))
    start = 8 + int.from_bytes(data[:8], "little")
    states = np.frombuffer(data, np.uint16, offset=start)
    if kind == "bits":
        for _ in range(rng.choice([1, 1, 5, 100])):
            states[rng.randrange(len(states))] ^= 1 << rng.randrange(16)
    else:
        first = rng.randrange(len(states))
        states[first : first + rng.choice([1, 8, 80, len(states)])] = rng.choice(_STATES)
    place.write(name, bytes(data))
    return f"{name}: {kind}"


def _make_consistent(place: Place, rng: random.Random) -> None:
    """Now and then, counts and the two lists of the primary layer's shards agree again."""
    if rng.random() < 0.7:
        return
    try:
        config: Any = json.loads(place.bytes_of("config.json"))
        index: Any = json.loads(place.bytes_of("index.json"))
        entry = next(one for one in config["layers"] if one["index"] == config["layer"])
        entry["shards"] = config["shards"]
        config["num_samples"] = len(index["samples"])
        config["num_steps"] = sum(len(one["steps"]) for one in index["samples"])
        text = json.dumps(config).encode()
    except (ValueError, LookupError, TypeError, StopIteration, RecursionError):
        return
    place.write("config.json", text)


def _write_with_manifest(path: Path) -> None:
    write_small(path)
    verify_artifact(str(path), write=True)


def _verify(path: Path) -> Parts:
    yield repr(verify_artifact(str(path)))


def _manifest_tells(place: Place) -> None:
    """SHA256SUMS names every file whose content is another, and no other; unless it is damaged."""
    if MANIFEST_NAME in set(changed(place)):
        return
    with pytest.raises(ManifestMismatchError) as caught:
        verify_artifact(str(place.path))
    told = {name for name in place.files if f"{name!a} " in str(caught.value)}
    assert told == set(changed(place))


def _manifest_was_damaged(place: Place) -> None:
    """What `spectra verify` passes is whole, or its SHA256SUMS is not."""
    assert MANIFEST_NAME in set(changed(place))


OPENED = Subject(
    "artifact",
    6,
    _write_with_manifest,
    _open,
    _plan,
    reseal=_make_consistent,
    told=_manifest_tells,
)
VERIFIED = Subject(
    "verify",
    2,
    _write_with_manifest,
    _verify,
    _verify,
    reseal=_make_consistent,
    told=_manifest_was_damaged,
)
RUN = Subject(
    "run",
    2,
    _write_with_manifest,
    _open,
    _run,
    damage=_damage_content,
    reseal=_make_consistent,
    told=_manifest_tells,
)
