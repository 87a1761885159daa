"""What is left out of all groups: first tokens, dimensions, large norms; the rest as if alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import spectra
from spectra import errors, reference
from spectra.artifacts import Sample, Step, open_artifact, write_artifact
from spectra.grouping import Group

CONFIG = spectra.RunConfig(backend="cpu", repeats=1, num_bins=2, counts=(8, 32))
DIM, LENGTH = 12, 50


def states_of(seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((3 * LENGTH, DIM)) * np.arange(1, DIM + 1) ** -0.5
    states[[1, LENGTH, LENGTH + 30]] *= 40  # two first tokens and one in the middle
    states[:, 4] += 25
    return np.asarray(states.astype(ml_dtypes.bfloat16).astype(np.float64))


def write(path: Path, states: NDArray[np.float64]) -> Path:
    samples = []
    for trace in range(3):
        at = trace * LENGTH
        steps = tuple(
            Step(a, b, at + a, at + b, ("thought", "solution")[a > 20], "xy"[a % 2])
            for a, b in ((0, 15), (15, 28), (28, LENGTH))
        )
        samples.append(Sample(f"t{trace}", None, at, LENGTH, 0, steps))
    layers = {1: states.astype(ml_dtypes.bfloat16)}
    return write_artifact(path, model="m", layers=layers, samples=samples, final_norm=False)


def differences(src: Path, states: NDArray[np.float64], run: Any) -> list[str]:
    """Where records differ from the reference's on these states, in which NaN is to be left out."""
    samples, found = open_artifact(src).index.samples, []
    for (_, pool), records in run.records.items():
        rows = reference.pooled_rows(states, samples, pool, num_bins=2, drop=True)
        for group, record in records.items():
            own = rows.where(group.segment, group.category, group.bin)
            expected = reference.record(own.x, "default")
            if record.num_rows != len(own.x):
                found.append(f"{pool} {group}: {record.num_rows} rows, not {len(own.x)}")
            for name in reference.METRICS:
                value, wanted = getattr(record, name), expected[name]
                if value != (wanted and pytest.approx(wanted, rel=1e-9)):
                    found.append(f"{pool} {group}: {name} {value}, not {wanted}")
    return found


def test_first_tokens_of_each_trace(tmp_path: Path) -> None:
    states = states_of()
    src = write(tmp_path / "m", states)
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, drop_first=3))
    kept = states.copy()
    for trace in range(3):
        kept[trace * LENGTH : trace * LENGTH + 3] = np.nan
    assert differences(src, kept, run) == []
    head = json.loads((run.out / "pool_all/basic_metrics.json").read_text())
    assert head["left_out"]["first_tokens"] == {"of_each_trace": 3, "tokens": 9}
    assert not any("NaN" in warning for warning in run.warnings)


def test_dimensions(tmp_path: Path) -> None:
    states = states_of()
    src = write(tmp_path / "m", states)
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, drop_dims=(4, 0, 4)))
    fewer = np.delete(states, [0, 4], axis=1)
    assert differences(src, fewer, run) == []
    head = json.loads((run.out / "pool_all/depth_profile.json").read_text())
    assert head["dim"] == DIM - 2
    assert head["left_out"]["dimensions"] == [0, 4]
    whole = run.records[1, "all"][Group("global")]
    assert whole.rank_ceiling == DIM - 2
    assert whole.diagnostics is not None
    top = np.setdiff1d(np.arange(DIM), [0, 4])[(fewer**2).sum(axis=0).argmax()]
    assert whole.diagnostics["top_dimension"]["dimension"] == top
    one = write(tmp_path / "n", fewer)
    (alone,) = spectra.run(one, tmp_path / "alone", CONFIG)
    for name in ("rankme", "alpha_req", "stable_rank"):
        assert getattr(alone.records[1, "mean"][Group("global")], name) == getattr(
            run.records[1, "mean"][Group("global")], name
        )


def test_large_norms(tmp_path: Path) -> None:
    states = states_of()
    src = write(tmp_path / "m", states)
    options = replace(CONFIG, drop_dims=(4,), drop_norms=10.0)
    (run,) = spectra.run(src, tmp_path / "out", options)
    fewer = np.delete(states, 4, axis=1)
    norms = np.linalg.norm(fewer, axis=1)
    middle = np.median(norms)
    above = middle + 10 * 1.4826 * np.median(np.abs(norms - middle))
    assert np.flatnonzero(norms > above).tolist() == [1, LENGTH, LENGTH + 30]
    fewer[norms > above] = np.nan
    assert differences(src, fewer, run) == []
    head = json.loads((run.out / "pool_all/basic_metrics.json").read_text())
    assert head["left_out"]["large_norms"] == {
        "deviations": 10.0,
        "above": pytest.approx(above, rel=1e-12),
        "tokens": 3,
    }


def test_all_of_them_beside_what_is_not_finite(tmp_path: Path) -> None:
    states = states_of()
    states[[0, 77]] = np.nan
    src = write(tmp_path / "m", states)
    options = replace(CONFIG, drop_first=2, drop_dims=(4,), drop_norms=10.0)
    (run,) = spectra.run(src, tmp_path / "out", replace(options, nonfinite="drop"))
    fewer = np.delete(states, 4, axis=1)
    for trace in range(3):
        fewer[trace * LENGTH : trace * LENGTH + 2] = np.nan
    fewer[LENGTH + 30] = np.nan
    assert differences(src, fewer, run) == []
    head = json.loads((run.out / "pool_all/basic_metrics.json").read_text())["left_out"]
    assert (head["nonfinite_tokens"], head["large_norms"]["tokens"]) == (1, 1)
    (warning,) = (one for one in run.warnings if "NaN" in one)
    assert "1 token rows hold NaN or infinity and were left out" in warning
    # The first bad token is left out anyway; the other one is not.
    with pytest.raises(errors.NonFiniteRowsError, match="token 27 "):
        spectra.run(src, tmp_path / "b", replace(options, nonfinite="error"))


def test_what_cannot_be_left_out_is_refused(tmp_path: Path) -> None:
    src = write(tmp_path / "m", states_of())
    with pytest.raises(errors.UsageError, match=r"no dimension 12 to leave out.*0 to 11"):
        spectra.run(src, tmp_path / "out", replace(CONFIG, drop_dims=(1, 12)))
    with pytest.raises(errors.UsageError, match="no dimension left"):
        spectra.run(src, tmp_path / "out", replace(CONFIG, drop_dims=tuple(range(12))))
    for wrong in (
        {"drop_first": -1},
        {"drop_norms": -0.5},
        {"drop_norms": np.nan},
        {"drop_norms": np.inf},
    ):
        with pytest.raises(errors.UsageError, match="Expected 0 or more"):
            replace(CONFIG, **wrong)


def test_everything_may_be_left_out(tmp_path: Path) -> None:
    src = write(tmp_path / "m", states_of())
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, drop_first=LENGTH))
    assert {record.status for record in run.records[1, "all"].values()} == {"too_few_rows"}
