"""The benchmarks run, end with their JSON line, and measure what they say; no time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from bench._accuracy import conditions, ranks, truth, value_errors, zero_cut
from bench._contestants import ROUTES, by_numpy, engine_on_device
from bench._rows import CONDITIONS, SPECTRA, make_rows
from bench._timing import take_turns
from bench.svd_vs_cov import app
from spectra.backend.device import DeviceBackend
from tests.tolerances import BAR

ROOT = Path(__file__).parent.parent
WAYS = {"engine", "numpy_float64", "numpy_float32", "jax_float64", "jax_float32"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "quick.json"


@pytest.fixture(scope="module")
def printed(saved: Path) -> str:
    args = ("--quick", "--backend", "cpu", "--repeats", "1", "--save", str(saved))
    command = (sys.executable, "-m", "bench.svd_vs_cov", *args)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def document(printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def test_card_comes_before_the_tables_and_json_last(printed: str) -> None:
    card, tables = printed.index("svd_vs_cov"), printed.index("Milliseconds for all three routes")
    assert card < printed.index("load average") < tables < printed.index('{"card"')


def test_card_says_what_the_figures_rest_on(document: dict[str, Any]) -> None:
    card = document["card"]
    assert {"measures", "sizes", "date", "commit", "load_average", "versions"} <= card.keys()
    assert card["hardware"]["cores"] >= 1
    assert card["hardware"]["jax_devices"]
    assert card["blas"][0]["threads"] >= 1
    assert card["floor"]["float64_gemm_gflops"] > 0
    assert str(ROOT) not in json.dumps(card)


def test_every_cell_has_times_and_errors_of_every_way(document: dict[str, Any]) -> None:
    assert {cell["spectrum"] for cell in document["cells"]} == SPECTRA.keys()
    for cell in document["cells"]:
        assert cell["ways"].keys() == WAYS
        for way in cell["ways"].values():
            assert 0 < way["seconds"]["min"] <= way["seconds"]["median"] <= way["seconds"]["max"]
            assert set(way["rank_error"]) == set(way["value_error"]) == set(ROUTES)
        assert set(cell["condition"]) == set(cell["truth"]) == set(ROUTES)
        assert cell["ways"]["engine"]["time_over_engine"] == 1
        assert cell["floor_seconds"] > 0


def test_engine_meets_the_bar_and_float32_does_not(document: dict[str, Any]) -> None:
    worst = document["summary"]["largest_rank_error"]
    for spectrum in SPECTRA:
        assert max(worst[spectrum][route]["engine"] for route in ROUTES) < BAR.relative
    for way in ("numpy_float32", "jax_float32"):
        assert worst["large_rows"]["cov_centered"][way] > 10 * BAR.relative


def test_small_singular_values_are_lost_by_the_covariance_first(document: dict[str, Any]) -> None:
    worst = document["summary"]["largest_value_error"]
    single, double = worst["condition_1e5"], worst["condition_1e7"]
    assert single["cov_centered"]["jax_float32"] > 0.1 > single["svd_centered"]["jax_float32"]
    assert double["cov_centered"]["numpy_float64"] > 1e-6 > double["cov_centered"]["engine"]
    assert double["svd_centered"]["numpy_float64"] == 0


def test_cells_tell_the_samples_own_condition(document: dict[str, Any]) -> None:
    for cell in document["cells"]:
        if cell["spectrum"] in CONDITIONS and cell["rows"] > cell["dim"]:
            ratio = cell["condition"]["svd_centered"] / CONDITIONS[cell["spectrum"]]
            assert 0.3 < ratio < 4


def test_engine_says_where_it_falls_back(document: dict[str, Any]) -> None:
    methods = {(c["spectrum"], c["rows"] > c["dim"]): c["engine_method"] for c in document["cells"]}
    assert methods["condition_1e7", True] == "svd"
    assert methods["condition_1e0", True] == "moments"
    assert methods["condition_1e0", False] == "rows"


def test_saved_files_repeat_what_was_printed(saved: Path, document: dict[str, Any]) -> None:
    assert json.loads(saved.read_text(encoding="utf-8")) == document
    assert "Relative error" in saved.with_suffix(".txt").read_text(encoding="utf-8")
    assert "<svg" in saved.with_suffix(".svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "args",
    [
        ("--dims", "1"),
        ("--rows", "8,many"),
        ("--save", "absent-directory/x.json"),
        ("--backend", "abacus"),
    ],
)
def test_usage_errors_end_before_measuring(args: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["--quick", *args])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert args[1].split(",")[0] in done.stderr


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("rows", [12, 100])
def test_device_engine_meets_the_bar(spectrum: str, rows: int) -> None:
    sample = make_rows(spectrum, rows, 24)
    answer = engine_on_device(DeviceBackend(jax.devices("cpu")[0]), sample)
    found, true = ranks(answer.spectra), ranks(truth(by_numpy(sample, np.float64).spectra))
    for route in ROUTES:
        assert BAR.holds(found[route], true[route])


def test_tasks_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def task(name: str) -> int:
        calls.append(name)
        return len(calls)

    results, timings = take_turns({"a": lambda: task("a"), "b": lambda: task("b")}, 2)
    assert results == {"a": 1, "b": 2}
    assert calls == ["a", "b"] * (1 + timings["a"].runs)
    assert timings["a"].runs >= 2


def test_zeros_count_for_no_error_and_no_condition() -> None:
    true = dict.fromkeys(ROUTES, np.array([4.0, 2.0, 1e-20]))
    found = dict.fromkeys(ROUTES, np.array([4.0, 1.0, 1.0]))
    cut = zero_cut(true, (5, 3))
    assert conditions(true, cut) == dict.fromkeys(ROUTES, 2.0)
    assert value_errors(found, true, cut) == dict.fromkeys(ROUTES, 0.5)


@pytest.mark.parametrize("spectrum", CONDITIONS)
def test_deviations_are_as_steep_after_rounding(spectrum: str) -> None:
    deviations = np.sort(make_rows(spectrum, 4096, 16).astype(np.float64).std(axis=0))
    expected = np.geomspace(1 / CONDITIONS[spectrum], 1.0, 16)
    np.testing.assert_allclose(deviations, expected, rtol=0.05)
