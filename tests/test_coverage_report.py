"""The report on coverage: shares of a package add up, and what is too low is told."""

from __future__ import annotations

import pytest

from tests.heavy import LONGEST, UNMEASURED
from tests.imports import ROOT
from tools.coverage_report import PACKAGES, UNREACHED, Summary, judge

LOW = "spectra/low.py"


def summary(lines: int, of_lines: int, branches: int = 0, of_branches: int = 0) -> Summary:
    return {
        "covered_lines": lines,
        "num_statements": of_lines,
        "covered_branches": branches,
        "num_branches": of_branches,
    }


def test_shares_are_of_all_lines_and_branches_of_a_package() -> None:
    files = {"spectra/a.py": summary(99, 100, 9, 10), "spectra/b.py": summary(288, 300, 20, 22)}
    text, faults = judge(files)
    assert "spectra: 96.8 % of lines\nspectra: 90.6 % of branches\n" in text
    assert not faults


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_below_the_floor_is_a_fault_of_its_kind(package: str) -> None:
    _, faults = judge({f"{package}/a.py": summary(95, 100, 8, 10)})
    assert faults == [f"{package}: 80.0 % of branches are reached; 90 % are wanted"]


def test_a_file_below_the_floor_needs_a_reason() -> None:
    files = {LOW: summary(8, 10), "spectra/b.py": summary(300, 300)}
    text, faults = judge(files, {LOW: "it needs an accelerator"})
    assert text.endswith(f"{LOW}: 80.0 % of lines: it needs an accelerator")
    assert not faults
    _, faults = judge(files, {})
    assert faults == [f"{LOW}: 80.0 % of lines are reached; test more, or say why"]


def test_reasons_are_of_files_that_exist() -> None:
    assert all((ROOT / path).is_file() for path in UNREACHED)


@pytest.mark.parametrize("name", sorted({*LONGEST, *UNMEASURED}))
def test_what_is_said_of_files_of_tests_is_of_files_there_are(name: str) -> None:
    assert (ROOT / "tests" / f"test_{name}.py").is_file()
