"""The report's chart of layers: what it draws of how many, and what it says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import spectra
from spectra.report import write_report
from spectra.report.sources import DETAILED
from spectra.report.values import METRICS, of_record
from tests.browser import Opened, opened
from tests.synthetic import write_synthetic
from tests.test_layer_profile import BLOCKS, CATEGORIES, CONFIG, LAYERS, write_layers
from tests.test_report import figures_in, rows_of

DEEP = (0, 9, 18)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: twelve layers of eleven blocks, three of eighteen, and known spectra."""
    root = tmp_path_factory.mktemp("layers")
    spectra.run(write_layers(root / "in" / "m"), root / "out", CONFIG)
    spectra.run(write_layers(root / "in" / "deep", DEEP, DEEP[-1]), root / "out", CONFIG)
    known = spectra.RunConfig(layers="all", pools=("all",), counts=(64,), repeats=2, num_bins=2)
    spectra.run(write_synthetic(root / "in" / "known"), root / "known", known)
    for page, models in (("one", ["out/m"]), ("two", ["out/m", "out/deep"]), ("known", ["known"])):
        write_report([root / model for model in models], root / f"{page}.html")
    return root


def chart(page: Path) -> tuple[Any, list[dict[str, Any]]]:
    (figure,) = (one for one in figures_in(page.read_text()) if one["name"] == "layers")
    return figure, rows_of(figure)


def test_data_are_the_profile(root: Path) -> None:
    profile = spectra.load(root / "out")["m"].layer_profile
    _, rows = chart(root / "one.html")
    expected = [
        (pool, group.category or group.segment or "global", point)
        for pool in profile.pools
        for group, points in profile.groups(pool)
        for point in points
    ]
    assert len(rows) == len(expected) == 2 * 6 * len(LAYERS)
    for row, (pool, group, point) in zip(rows, expected, strict=True):
        place = (row["pool"], row["group"], row["layer"], row["relative_depth"])
        assert place == (pool, group, point.layer, point.layer / BLOCKS)
        assert row["rows"] == point.record.num_rows
        fields = of_record(point.record)
        assert fields == {name: row[name] for name in fields}
    assert all(None not in (row["rankme"], row["rankme_low"], row["rankme_high"]) for row in rows)


def test_a_page_of_many_layers_holds_four_in_detail(root: Path) -> None:
    page = (root / "one.html").read_text()
    sizes = {}
    for figure in figures_in(page):
        rows = rows_of(figure)
        layers = {row["layer"] for row in rows}
        assert len(layers) == (len(LAYERS) if figure["name"] == "layers" else DETAILED)
        sizes[figure["name"]] = len(rows)
    assert sizes["layers"] <= 2 * 6 * len(LAYERS)
    assert len(page) < 2e6


def test_only_models_with_several_layers_are_in_it(root: Path, tmp_path: Path) -> None:
    spectra.run(root / "in/deep", tmp_path, spectra.RunConfig(pools=("all",), counts=(16,)))
    write_report([tmp_path], tmp_path / "page.html")
    names = [one["name"] for one in figures_in((tmp_path / "page.html").read_text())]
    assert "layers" not in names
    write_report([root / "known", tmp_path], tmp_path / "page.html")
    figure, rows = chart(tmp_path / "page.html")
    assert {row["model"] for row in rows} == {"known"}
    assert "known: n = " in figure["counts"]["/all"]
    assert "deep" not in figure["counts"]["/all"]


def drawn(seen: Opened, pool: str, group: str, metric: str) -> tuple[int, int, int]:
    """Bands, lines and points of the chart after these choices."""
    seen.page.select_option("select[name=pool]", pool)
    seen.page.select_option("select[name=group]", group)
    seen.page.select_option("select[name=metric]", metric)
    marks = ("mark-area.role-mark", "mark-line.role-mark", "mark-symbol.role-mark")
    bands, lines, points = (
        seen.page.locator(f"#layers svg .{mark} path").count() for mark in marks
    )
    return bands, lines, points


def test_it_follows_the_choices(root: Path, browser: Browser) -> None:
    groups = 3 + len(CATEGORIES)
    with opened(browser, root / "one.html") as seen:
        for pool in ("all", "last"):
            for metric in ("rankme", "rankme_sigma"):
                # All groups are faint; those in colour have a band, and come a second time.
                assert drawn(seen, pool, "", metric) == (3, groups + 3, (groups + 3) * 12)
                assert drawn(seen, pool, "plan", metric) == (2, groups + 2, (groups + 2) * 12)
        assert drawn(seen, "all", "", "alpha_req") == (0, 0, 0)  # of eight dimensions
        caption = seen.page.locator("#layers figcaption").inner_text()
        rows = spectra.load(root / "out")["m"].pool().record().num_rows
        assert f"m: n = {rows} (pool all) in 6 traces in each of 12 layers" in caption
        assert "Convention: default." in caption
        assert "A group has the same rows in every layer" in caption
        assert seen.said == []


def test_alpha_is_drawn_where_there_is_one(root: Path, browser: Browser) -> None:
    _, rows = chart(root / "known.html")
    profile = spectra.load(root / "known")["known"].layer_profile
    for metric in METRICS:
        assert [row[metric] for row in rows if row["group"] == "thought"] == [
            getattr(point.record, metric) for point in profile.points(segment="thought")
        ]
    with opened(browser, root / "known.html") as seen:
        bands, _, points = drawn(seen, "all", "medium", "alpha_req")
        assert bands == 2
        assert points == 2 * 2 + sum(row["alpha_req"] is not None for row in rows)
        assert seen.said == []


def test_models_of_different_depth_stand_by_their_place(root: Path, browser: Browser) -> None:
    figure, rows = chart(root / "two.html")
    assert {row["num_hidden_layers"] for row in rows} == {BLOCKS, DEEP[-1]}
    assert '"relative_depth"' in str(figure["spec"]).replace("'", '"')
    with opened(browser, root / "two.html") as seen:
        bands, lines, points = drawn(seen, "all", "plan", "rankme")
        assert (bands, lines, points) == (4, 12 + 4, (6 + 2) * (len(LAYERS) + len(DEEP)))
        title = seen.page.locator("#layers svg .role-axis-title text").first.text_content()
        assert title == "layer / number of blocks"
        caption = seen.page.locator("#layers figcaption").inner_text()
        assert "stands at its number over that of the blocks" in caption
        assert "in each of 12 layers" in caption
        assert "in each of 3 layers" in caption
        assert seen.said == []
