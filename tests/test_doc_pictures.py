"""The pictures of docs/statistics.md: drawn from the library's numbers, present and described."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from spectra import reference
from spectra.statistics import METRICS
from tests.imports import ROOT
from tools import doc_numbers, doc_pictures

PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
IMAGES: dict[str, str] = {
    name: words for words, name in re.findall(r"^!\[(.+)\]\(pictures/(\w+)\.svg\)$", PAGE, re.M)
}


@cache
def committed(name: str) -> str:
    return (doc_pictures.FOLDER / f"{name}.svg").read_text(encoding="utf-8")


def drawn_parts(svg: str) -> list[tuple[str, str | None, str | None]]:
    """Marks, ticks and words; not where they stand, which depends on the machine's fonts."""
    return [
        (element.tag, element.get("d"), element.text)
        for element in ElementTree.fromstring(svg).iter()
        if "background" not in str(element.get("class"))
    ]


@pytest.mark.parametrize("picture", doc_pictures.PICTURES, ids=lambda one: str(one.__name__))
def test_the_picture_is_what_the_script_draws(picture: Callable[[], Any]) -> None:
    found = drawn_parts(doc_pictures.svg(picture()))
    assert found == drawn_parts(committed(picture.__name__)), "run `make docs`"


def test_every_picture_is_shown_once_and_there_is_no_other() -> None:
    names = sorted(picture.__name__ for picture in doc_pictures.PICTURES)
    assert sorted(IMAGES) == names
    assert PAGE.count("](pictures/") == len(names)
    assert sorted(path.stem for path in doc_pictures.FOLDER.iterdir()) == names


@pytest.mark.parametrize("name", IMAGES)
def test_numbers_in_the_description_are_in_the_picture(name: str) -> None:
    shown = " ".join(ElementTree.fromstring(committed(name)).itertext())
    for number in re.findall(r"\d+\.\d+", IMAGES[name]):
        assert number in re.findall(r"\d+\.\d+", shown), number


@pytest.mark.parametrize("name", IMAGES)
def test_pictures_are_small_and_read_on_any_page(name: str) -> None:
    svg = committed(name)
    assert len(svg) < 40_000
    assert 'fill="white"' in svg
    assert "@font-face" not in svg


def test_every_statistic_has_its_section() -> None:
    sections = re.findall(r"^## (\w+)$", PAGE, re.M)
    assert set(METRICS) | {"rank_ceiling"} <= set(sections)


def test_the_numbers_are_those_of_the_plain_definitions() -> None:
    _, marks = doc_numbers.two_weights()
    values = doc_numbers.power_law(1)
    for mark, weights in zip(marks, (values, np.sqrt(values)), strict=True):
        p = weights / weights.sum()
        assert mark["value"] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-3)
    (whole,) = [row for row in doc_numbers.two_groups() if row["count"] == 2048]
    x = doc_numbers.gaussian(values, 2048, seed=1)
    assert whole["value"] == pytest.approx(reference.record(x, "default")["rankme"], rel=1e-3)


def test_counts_in_the_text_are_those_of_the_data() -> None:
    rows, _ = doc_numbers.intervals()
    held = [row["holds"] for row in rows].count("yes")
    assert f"{held} of these {len(rows)} intervals hold it" in PAGE
    first, *_, last = doc_numbers.one_large_row()
    words = f"from {first['rankme']:.0f} to {last['rankme']:.0f}"
    assert words in IMAGES["one_large_row"]
