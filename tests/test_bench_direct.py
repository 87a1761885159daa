"""Runs without shards take the memory that was planned, as processes of their own."""

from __future__ import annotations

from bench.direct import cell
from tests.shared_data import smollm2

SHARE = 0.2
"""How far the whole process's peak may be from what was planned."""


def test_moments_of_many_layers_take_what_was_planned() -> None:
    found = cell("synthetic", 384, 8, 4096)
    assert found["collected"] > found["process"] / 2
    assert abs(found["over_planned"] - 1) <= SHARE


def test_so_does_a_real_model() -> None:
    found = cell("model", smollm2(), 1, "15,-1")
    assert found["model"] > 5e8
    assert abs(found["over_planned"] - 1) <= SHARE
