"""The half-sample correction: its formula, its gate, and that it brings the truth nearer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import spectra
from spectra import reference
from spectra.artifacts import Sample, Step, write_artifact
from spectra.errors import UsageError
from spectra.grouping import Group
from spectra.uncertainty.halves import corrected_rank, even_enough, split_in_halves

DIM, TRACES, LENGTH = 32, 12, 40
CONFIG = spectra.RunConfig(
    backend="cpu", pools=("all",), repeats=3, num_bins=2, half_sample=True, jackknife="off"
)


def write(path: Path, states: NDArray[np.float64], traces: int = TRACES) -> Path:
    """Traces of one thought and one solution of equal length."""
    length = len(states) // traces
    samples = []
    for trace in range(traces):
        at, half = trace * length, length // 2
        steps = (
            Step(0, half, at, at + half, "thought", "a"),
            Step(half, length, at + half, at + length, "solution", "b"),
        )
        samples.append(Sample(f"t{trace}", None, at, length, 0, steps))
    layers = {1: states.astype(np.float32)}
    return write_artifact(path, model="m", layers=layers, samples=samples, final_norm=False)


def states_of(rows: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((rows, DIM)) * np.arange(1, DIM + 1) ** -0.5
    return np.asarray(states.astype(np.float32).astype(np.float64))


def test_it_is_the_plain_formula(tmp_path: Path) -> None:
    states = states_of(TRACES * LENGTH)
    (run,) = spectra.run(write(tmp_path / "m", states), tmp_path / "out", CONFIG)
    whole = run.records[1, "all"][Group("global")]
    assert whole.half_sample is not None
    sizes = np.full(TRACES, LENGTH)
    entropies = []
    for split in range(3):
        halves = np.repeat(split_in_halves(sizes, "all", split, CONFIG.seed), LENGTH)
        assert np.bincount(halves).tolist() == [240, 240]
        for half in (0, 1):
            rank = reference.record(states[halves == half], "default")["rankme"]
            assert rank is not None
            entropies.append(np.log(rank))
    own = reference.record(states, "default")["rankme"]
    assert own is not None
    expected = np.exp(2 * np.log(own) - np.mean(entropies))
    assert whole.half_sample["rankme"] == pytest.approx(expected, rel=1e-9)
    assert whole.half_sample["splits"] == 3
    assert whole.half_sample["of_halves"] == pytest.approx(np.exp(entropies).mean(), rel=1e-9)


def test_it_is_gated_at_twice_the_width(tmp_path: Path) -> None:
    for rows, corrected in ((2 * DIM * TRACES, True), (TRACES * 4, False)):
        (run,) = spectra.run(
            write(tmp_path / f"m{rows}", states_of(rows)), tmp_path / f"out{rows}", CONFIG
        )
        for record in run.records[1, "all"].values():
            assert (record.half_sample is not None) == (record.num_rows >= 2 * DIM)
        whole = run.records[1, "all"][Group("global")]
        assert (whole.half_sample is not None) == corrected
    (plain,) = spectra.run(
        tmp_path / "m768", tmp_path / "plain", replace(CONFIG, half_sample=False)
    )
    assert plain.records[1, "all"][Group("global")].half_sample is None
    (sigma,) = spectra.run(tmp_path / "m768", tmp_path / "s", replace(CONFIG, convention="roy2007"))
    assert sigma.records[1, "all"][Group("global")].half_sample is None


def test_it_brings_the_truth_nearer(tmp_path: Path) -> None:
    p = np.arange(1.0, DIM + 1) ** -1
    p /= p.sum()
    truth = float(np.exp(-(p * np.log(p)).sum()))
    plain, corrected = [], []
    for seed in range(10):
        src = write(tmp_path / f"m{seed}", states_of(240, seed))
        (run,) = spectra.run(src, tmp_path / f"out{seed}", replace(CONFIG, matched=False))
        whole = run.records[1, "all"][Group("global")]
        assert whole.half_sample is not None
        plain.append(whole.rankme - truth)
        corrected.append(whole.half_sample["rankme"] - truth)
    assert np.mean(plain) < -0.5
    assert abs(np.mean(corrected)) < 0.25 * abs(np.mean(plain))


def test_splits_that_leave_a_group_uneven_do_not_count() -> None:
    assert even_enough(np.array([30, 90]))
    assert not even_enough(np.array([29, 91]))
    assert not even_enough(np.array([120]))


@given(st.lists(st.integers(1, 50), min_size=2, max_size=30), st.integers(0, 5))
def test_halves_are_about_as_large(sizes: list[int], split: int) -> None:
    halves = split_in_halves(np.array(sizes), "all", split, 0)
    filled = np.bincount(halves, sizes, minlength=2)
    assert abs(filled[0] - filled[1]) <= max(sizes)
    assert (filled > 0).all()


def test_halves_of_unequal_size_are_extrapolated_alike() -> None:
    # H(n) = H - c / n exactly: whatever the halves, H is what comes out.
    def rank(rows: float) -> float:
        return float(np.exp(3.0 - 7.0 / rows))

    for first in (50, 30, 80):
        sizes = [first, 100 - first]
        found = corrected_rank(rank(100), [rank(m) for m in sizes], sizes, 100)
        assert found == pytest.approx(np.exp(3.0), rel=1e-12)


def test_what_it_needs_is_planned(tmp_path: Path) -> None:
    src = write(tmp_path / "m", states_of(TRACES * LENGTH))
    with pytest.raises(UsageError, match="need at least"):
        spectra.run(src, tmp_path / "out", replace(CONFIG, max_memory=4 * 8 * DIM**2 - 1))
