"""Category maps: presets, the user's own files, and how labels are matched."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from spectra import errors
from spectra.categories import IDENTITY, PRESETS, CategoryMap, load_map
from tests.shared_data import shared

SIZES = {"schoenfeld": (7, 3), "thought_anchors": (8, 8), "steering_thinking": (6, 6)}
SIZES["traces11"] = (11, 11)


@pytest.mark.parametrize("name", SIZES)
def test_preset_sizes(name: str) -> None:
    preset = load_map(name)
    assert (len(preset.labels), len(set(preset.labels.values()))) == SIZES[name]
    assert preset.name == name
    assert preset.source


def test_every_preset_loads_by_either_spelling() -> None:
    for name in PRESETS:
        assert load_map(name) == load_map(name.replace("_", "-").upper())


def test_identity() -> None:
    assert load_map("identity") is IDENTITY
    assert IDENTITY.macro("Any  label") == "Any  label"
    assert IDENTITY.macro(None) == "unlabelled"
    assert IDENTITY.unmapped(["a", None]) == ()


@pytest.mark.parametrize("label", ["Plan", "plan", " PLAN ", "_plan-"])
def test_schoenfeld_gathers(label: str) -> None:
    assert load_map("schoenfeld").macro(label) == "General"


@pytest.mark.parametrize(
    "label", ["Final Answer", "final_answer", "FINAL-answer", "final \t answer"]
)
def test_separators_and_case_do_not_matter(label: str) -> None:
    assert load_map("traces11").macro(label) == "Final Answer"


def test_unmapped_labels_keep_their_name_and_are_listed() -> None:
    preset = load_map("schoenfeld")
    assert preset.macro("Guess") == "Guess"
    assert preset.macro(None) == "unlabelled"
    assert preset.unmapped(["Guess", None, "read", "Answer", "Guess"]) == ("Answer", "Guess")


def test_traces11_is_what_the_traces_have() -> None:
    with lzma.open(shared("traces/thought_anchors_753.jsonl.xz"), "rt", encoding="utf-8") as lines:
        found = {step["category"] for line in lines for step in json.loads(line)["steps"]}
    assert found == set(load_map("traces11").labels)


def test_a_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[categories]\nChecking = ["Example Testing", "backtracking"]\n')
    found = load_map(path)
    assert found == CategoryMap(
        "mine", str(path), {"Example Testing": "Checking", "backtracking": "Checking"}
    )
    assert found.macro("BACKTRACKING") == "Checking"


FAULTS = [
    ("", r"no table \[categories\]"),
    ("[categories]\n", r"no table \[categories\]"),
    ("categories = 3", r"no table \[categories\]"),
    ("[categories]\nA = 'b'", "categories.A is 'b'; expected an array"),
    ("[categories]\nA = [1]", "categories.A is .1.; expected an array"),
    ("[categories]\nA = ['x y']\nB = ['X_Y']", "'X_Y' is listed under 'A' and 'B'"),
    ("[labels]\na = 'b'", "unknown fields 'labels'"),
    ("name = 3\n[categories]\nA = ['b']", "must be strings"),
    ("[categories", "is not a TOML file"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_faulty_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(errors.CategoryMapError, match=message):
        load_map(path)


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_bytes(b"\xff")
    with pytest.raises(errors.CategoryMapError, match="UTF-8"):
        load_map(tmp_path / "map.toml")


def test_neither_preset_nor_file() -> None:
    with pytest.raises(errors.UnknownCategoryMapError, match="one of identity, schoenfeld"):
        load_map("schonfeld")
    with pytest.raises(errors.MissingFileError, match=r"absent\.toml does not exist"):
        load_map("absent.toml")
