"""The end-to-end benchmark: both sides do the same job, and its errors are those of float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import end_to_end
from bench._children import JobError, run_child
from bench._synthetic import Size, write
from bench._values import CHECKED, chosen_groups, largest_errors
from bench.baseline import POOLS, Values, load, pooled
from bench.end_to_end import OURS, WITH_ERRORS
from spectra.artifacts import open_artifact
from tests.bench_sizes import small_rates
from tests.tolerances import BAR

SIZE = Size(104, traces=2)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    save = tmp_path_factory.mktemp("bench") / "small.json"
    sizes = ("--dims", str(SIZE.dim), "--traces", str(SIZE.traces))
    where = ("--peers", "numpy", "--backend", "cpu", "--save", str(save))
    with small_rates():
        done = CliRunner().invoke(end_to_end.app, [*sizes, *where])
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found == json.loads(save.read_text())
    assert "d104: 1,920 x 104" in save.with_suffix(".txt").read_text()
    return found


def test_ours_is_exact_and_the_float32_loop_near(document: dict[str, Any]) -> None:
    (cell,) = document["cells"]
    ours, theirs = (cell["jobs"][name]["largest_relative_error"] for name in ("spectra", "numpy"))
    assert set(ours) == set(theirs) == set(CHECKED)
    assert all(error <= BAR.relative for error in ours.values())
    assert all(BAR.relative < error < 1e-2 for error in theirs.values())


def test_both_sides_are_whole(document: dict[str, Any]) -> None:
    (cell,) = document["cells"]
    # A group of each of seven kinds in each pool.
    assert cell["checked_groups"] == 7 * len(POOLS)
    assert cell["groups"] > 200
    assert set(cell["jobs"]["numpy"]["stages"]) == {"read", "groups", "depth", "sweep"}
    for job in cell["jobs"].values():
        assert len(job["seconds"]) == 1
        assert job["peak_bytes"] > 1e7
    assert cell["jobs"]["spectra"]["time_over_ours"] == 1
    alike = (cell["jobs"][name]["largest_relative_error"] for name in (OURS, WITH_ERRORS))
    assert next(alike) == next(alike)


def test_artifacts_are_looked_through_first(tmp_path: Path) -> None:
    done = CliRunner().invoke(end_to_end.app, ["--artifact", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "holds no config.json" in done.stderr


def test_a_job_that_fails_is_told() -> None:
    with pytest.raises(JobError, match=r"bench\.baseline ended with 2"):
        run_child(("bench.baseline", "--no-such-option"))


def test_the_synthetic_artifact_is_what_it_says(tmp_path: Path) -> None:
    size = Size(8, traces=3, steps=4, tokens=5)
    artifact = open_artifact(write(tmp_path / "small", size))
    assert (artifact.config.num_tokens, artifact.config.num_steps) == (size.rows, 12)
    steps = artifact.index.samples[0].steps
    assert [step.segment for step in steps] == ["thought"] * 3 + ["solution"]
    states, samples = load(tmp_path / "small", "float32")
    assert states.shape == (60, 8)
    assert [len(pooled(states, samples, pool).x) for pool in POOLS] == [60, 12, 12, 12]


def test_errors_are_the_largest_of_what_both_define() -> None:
    true: dict[str, Values] = {
        "a": {"rankme": 2.0, "alpha_req": None},
        "b": {"rankme": 4.0, "alpha_req": 1.0},
    }
    found: dict[str, Values] = {
        "a": {"rankme": 2.1, "alpha_req": 5.0},
        "b": {"rankme": 4.0, "alpha_req": 1.0},
    }
    errors = largest_errors(found, true)
    assert errors["rankme"] == pytest.approx(0.05)
    assert errors["alpha_req"] == 0
    assert errors["svd_centered"] is None


def test_one_group_of_each_kind_is_chosen() -> None:
    names = ["all/global///", *(f"all/bin///{b}" for b in range(10)), "mean/global///"]
    found: dict[str, Values] = {name: {} for name in names}
    chosen = chosen_groups(found)
    assert [name.split("/")[:2] for name in chosen] == [
        ["all", "global"],
        ["all", "bin"],
        ["mean", "global"],
    ]
    assert chosen == chosen_groups(found)
