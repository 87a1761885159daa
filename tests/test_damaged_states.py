"""Damage that changes nothing but states gives the metrics of the states that are there."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np

import spectra
from spectra.artifacts import open_artifact
from tests.mutation.artifacts import CONFIG, damage_states, write_small
from tests.mutation.file_edits import Place
from tests.test_against_reference import differences

TRIALS = 12


def test_damaged_states_give_what_the_reference_gives(tmp_path: Path) -> None:
    """Flipped bits, and runs of zeros, of the largest numbers, of NaN, of infinities."""
    src, out = write_small(tmp_path / "small"), tmp_path / "out"
    place, undefined = Place(src), 0
    for number in range(TRIALS):
        rng = random.Random(f"states {number}")
        done = [damage_states(place, rng) for _ in range(rng.choice([1, 1, 2]))]
        (run,) = spectra.run(src, out, CONFIG)
        artifact = open_artifact(src)
        with artifact.open_rows(artifact.layer()) as reader, np.errstate(invalid="ignore"):
            states = reader.read(0, reader.num_rows).astype(np.float64)
        found = differences(run.out / "pool_all", states, artifact.index.samples, CONFIG, "all")
        assert not list(found), (number, done)
        undefined += run.undefined
        place.restore()
        shutil.rmtree(out)
    assert undefined > 0
