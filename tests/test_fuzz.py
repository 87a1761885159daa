"""What a fuzzer kept, valid inputs and a few damaged ones, through every target of `tests.fuzz`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.corpus import kept
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, run
from tests.mutation import byte_edits, json_edits

DAMAGED = 20


@pytest.mark.parametrize("name", TARGETS)
def test_valid_inputs_are_read(name: str, tmp_path: Path) -> None:
    found = [run(TARGETS[name], data, tmp_path) for data in seeds(name)]
    assert found == ["read"] * len(found)
    assert found


@pytest.mark.parametrize("name", TARGETS)
def test_other_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    valid = seeds(name)
    damaged = [
        byte_edits.edit(json_edits.edit_inside(rng.choice(valid), rng)[0], rng)[0]
        for _ in range(DAMAGED)
    ]
    assert len(kept(name)) >= 5
    outcomes = {run(TARGETS[name], data, tmp_path) for data in (*kept(name), *damaged)}
    assert len(outcomes) > 1
