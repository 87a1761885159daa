"""`spectra diff`: equal is 0, different is 1, and what cannot be compared says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spectra.cli import app
from spectra.cli._pairs import pairs

BASIC = "pool_all/basic_metrics.json"
DOCUMENT = {
    "model": "m",
    "dim": 8,
    "global": {"rankme": 3.5, "alpha_req": None, "status": "ok", "num_rows": 100},
    "categories": {"Final Answer": {"rankme": 1.25}},
    "bins": [{"rankme": 2.0}, {"rankme": 4.0}],
}


def spectra(*args: object) -> Result:
    return CliRunner().invoke(app, ["diff", *map(str, args)])


def write_run(root: Path) -> Path:
    """A finished run of two files, of which diff reads one."""
    (root / "pool_all").mkdir(parents=True)
    (root / BASIC).write_text(json.dumps(DOCUMENT))
    (root / "run.json").write_text(json.dumps({"where": str(root)}))
    return root


def edited(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "a"), write_run(tmp_path / "b")


def test_equal_runs(runs: tuple[Path, Path]) -> None:
    result = spectra(*runs)
    assert result.exit_code == 0
    assert result.stdout == "Equal: 9 values in 1 files, numbers to a relative 1e-09.\n"
    assert result.stderr == ""


def set_global(name: str, value: object) -> Callable[[Any], object]:
    return lambda document: document["global"].update({name: value})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            set_global("rankme", 3.6),
            "global.rankme: 3.5 against 3.6, relative difference 0.0278",
        ),
        (
            set_global("num_rows", 101),
            "global.num_rows: 100 against 101, relative difference 0.0099",
        ),
        (set_global("alpha_req", 1.5), "global.alpha_req: null against 1.5"),
        (set_global("rankme", None), "global.rankme: 3.5 against null"),
        (set_global("status", "degenerate"), "global.status: ok against degenerate"),
        (set_global("extra", 0), "global.extra: not in A"),
        (lambda d: d["global"].pop("status"), "global.status: not in B"),
        (lambda d: d["categories"].clear(), 'categories["Final Answer"]: not in B'),
        (lambda d: d["bins"].pop(), "bins[1]: not in B"),
        (lambda d: d.update(bins={}), "bins: array of 2 against object of 0"),
        (lambda d: d.update(dim=True), "dim: 8 against True"),
    ],
)
def test_each_kind_of_difference(
    runs: tuple[Path, Path], change: Callable[[Any], object], line: str
) -> None:
    edited(runs[1] / BASIC, change)
    result = spectra(*runs)
    assert result.exit_code == 1
    first, last = result.stdout.splitlines()
    assert first == f"{BASIC}: {line}"
    assert last.startswith("Different: 1 of ")


def test_tolerance_is_relative_to_the_larger(runs: tuple[Path, Path]) -> None:
    edited(runs[1] / BASIC, set_global("rankme", 3.5 * (1 + 1e-6)))
    assert spectra(*runs, "--rtol", "1.1e-6").exit_code == 0
    assert spectra(*runs, "--rtol", "0.9e-6").exit_code == 1


def test_no_tolerance_for_counts(runs: tuple[Path, Path]) -> None:
    edited(runs[1] / BASIC, set_global("num_rows", 101))
    assert spectra(*runs, "--rtol", "0.5").exit_code == 1


def test_a_missing_file_is_a_difference(runs: tuple[Path, Path]) -> None:
    folder = runs[0] / "layer_3" / "pool_mean"
    folder.mkdir(parents=True)
    shutil.copy(runs[0] / BASIC, folder / "basic_metrics.json")
    result = spectra(*runs)
    assert result.exit_code == 1
    assert "layer_3/pool_mean/basic_metrics.json: not in B" in result.stdout


def test_run_json_is_not_compared_but_missed(runs: tuple[Path, Path]) -> None:
    (runs[1] / "run.json").unlink()
    result = spectra(*runs)
    assert result.exit_code == 0
    assert result.stderr == f"Warning: {runs[1]} has no run.json: its run did not finish.\n"


def test_two_files_of_any_name(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copy(runs[1] / BASIC, tmp_path / "other.json")
    assert spectra(runs[0] / BASIC, other).exit_code == 0


def test_the_first_differences_and_how_many_more(runs: tuple[Path, Path]) -> None:
    edited(runs[1] / BASIC, lambda document: document.clear())
    result = spectra(*runs, "--show", 2)
    assert len(result.stdout.splitlines()) == 3
    assert "Different: 5 of 5 values" in result.stdout
    assert "(3 more not shown; --show N)" in result.stdout


def test_json(runs: tuple[Path, Path]) -> None:
    edited(runs[1] / BASIC, set_global("rankme", 7.0))
    result = spectra(*runs, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "equal": False,
        "rtol": 1e-9,
        "files": 1,
        "values": 9,
        "differences": 1,
        "first": [
            {
                "file": BASIC,
                "path": "global.rankme",
                "a": 3.5,
                "b": 7.0,
                "relative": 0.5,
                "missing": None,
            }
        ],
    }
    assert json.loads(spectra(runs[0], runs[0], "--json").stdout)["equal"] is True


def test_quiet_leaves_the_exit_code(runs: tuple[Path, Path]) -> None:
    edited(runs[1] / BASIC, set_global("rankme", 7.0))
    result = spectra(*runs, "-q")
    assert (result.exit_code, result.output) == (1, "")


def test_hostile_strings_are_escaped(runs: tuple[Path, Path]) -> None:
    edited(runs[1] / BASIC, lambda document: document.update({"\x1b[2J": "\u202e"}))
    edited(runs[1] / BASIC, lambda document: document.update(model="\x1b[31m"))
    result = spectra(*runs)
    assert "\x1b" not in result.output
    assert f"{BASIC}: model: m against \\x1b[31m" in result.stdout


@pytest.mark.parametrize("rtol", ["-1", "nan", "inf"])
def test_impossible_tolerances(runs: tuple[Path, Path], rtol: str) -> None:
    result = spectra(*runs, f"--rtol={rtol}")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: --rtol is {float(rtol)}. Expected")


def test_a_directory_against_a_file(runs: tuple[Path, Path]) -> None:
    result = spectra(runs[0], runs[1] / BASIC)
    assert result.exit_code == 2
    assert "Expected two directories or two files." in result.stderr


def test_what_is_not_there(runs: tuple[Path, Path], tmp_path: Path) -> None:
    result = spectra(runs[0], tmp_path / "none")
    assert result.exit_code == 3
    assert f"{tmp_path / 'none'} does not exist." in result.stderr


def test_a_directory_without_metric_files(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = spectra(tmp_path / "empty", runs[0])
    assert result.exit_code == 3
    assert "holds no metric file (basic_metrics.json," in result.stderr


def test_what_is_not_json(runs: tuple[Path, Path]) -> None:
    (runs[1] / BASIC).write_text('{"rankme": NaN}')
    result = spectra(*runs)
    assert result.exit_code == 3
    assert "NaN is not JSON" in result.stderr


def test_numbers_beyond_a_double() -> None:
    (pair,) = pairs(10**400, -1.5, 1e-9)
    assert pair.relative == 1.0
    (pair,) = pairs(1.7e308, -1.7e308, 1e-9)
    assert pair.relative == 2.0
    (pair,) = pairs(0.0, -0.0, 0.0)
    assert pair.equal
