"""The report: what it says, that nothing in it runs or is fetched, and how a browser shows it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import altair as alt
import pytest
from playwright.sync_api import Browser

import spectra
from spectra.errors import UsageError
from spectra.printable import Names
from spectra.report import write_report
from spectra.report.sources import shown_models
from spectra.report.values import METRICS, t_quantile
from spectra.results import load_all
from tests.browser import Opened, opened
from tests.cli_runs import call
from tests.shared_data import shared
from tests.synthetic import write_synthetic

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`" + 300 * "x" + "\u202eevil"
)
CONFIG = spectra.RunConfig(pools=("all", "mean"), counts=(32, 128, 512), repeats=2, num_bins=5)
EMBEDDED = Path(spectra.__file__).parent / "embedded"
REAL = "artifacts/annotated_traces_reprs/smollm2-135m-instruct"
FIGURES = ("groups", "depth", "sweep", "spectra", "routes", "pools", "layers", "influences")

Drawn = list[dict[str, Any]]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on three models: real states, known spectra, and the same with a hostile label."""
    root = tmp_path_factory.mktemp("three")
    spectra.run(EMBEDDED, root / "out", CONFIG)
    write_synthetic(root / "in" / "known")
    hostile = write_synthetic(root / "in" / "hostile", seed=1)
    index = (hostile / "index.json").read_text()
    (hostile / "index.json").write_text(index.replace('"flat"', json.dumps(HOSTILE)))
    spectra.run(hostile, root / "out", CONFIG)
    spectra.run(root / "in" / "known", root / "out", replace(CONFIG, layers="all"))
    write_report([root / "out"], root / "report.html", figures=root / "figures")
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on the real artifact, both layers."""
    root = tmp_path_factory.mktemp("real")
    config = spectra.RunConfig(
        layers="all", pools=("all", "mean"), counts=(64, 512), repeats=1, num_bins=5
    )
    spectra.run(shared(REAL), root / "out", config)
    write_report([root / "out"], root / "report.html")
    return root


@pytest.fixture(params=["three", "real"])
def written(request: pytest.FixtureRequest) -> Path:
    return cast("Path", request.getfixturevalue(request.param))


def figures_in(page: str) -> Drawn:
    (text,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    return cast("Drawn", json.loads(text))


def rows_of(figure: dict[str, Any]) -> Drawn:
    data = figure["data"]
    return [dict(zip(data["columns"], line, strict=True)) for line in data["values"]]


def first_shown(rows: Drawn) -> Drawn:
    """The rows that a chart shows before anything is chosen."""
    return [row for row in rows if row.get("pool", "all") == "all" and row.get("primary", True)]


# ---- the file -----------------------------------------------------------------------------------


def test_charts_are_what_vega_lite_takes(written: Path) -> None:
    """By its schema, which is not asked when a report is written; it lacks a legend's layout."""
    for figure in figures_in((written / "report.html").read_text()):
        alt.Chart.from_dict({**figure["spec"], "data": {"name": "rows"}, "config": {}})


def test_data_are_the_results(written: Path) -> None:
    results = spectra.load(written / "out")
    figures = {
        one["name"]: rows_of(one) for one in figures_in((written / "report.html").read_text())
    }
    assert tuple(figures) == FIGURES
    for name, model in results.items():
        pool = model.pool("mean")
        record = pool.record(segment="thought")
        (row,) = (
            row
            for row in figures["groups"]
            if (row["model"], row["pool"], row["group"]) == (name, "mean", "thought")
            and row["primary"]
            and row["counts"] == "all rows"
        )
        for metric in METRICS:
            value, se = getattr(record, metric), (record.se or {}).get(metric)
            assert row[metric] == value
            if se is not None:
                assert record.num_blocks is not None
                reach = t_quantile(record.num_blocks) * se
                most = record.rank_ceiling if "rank" in metric else math.inf
                assert row[f"{metric}_high"] == max(value, min(value + reach, most))
                assert row[f"{metric}_low"] == max(
                    value - reach, 1 if "rank" in metric else -math.inf
                )
        curve = [
            row["rankme"]
            for row in figures["sweep"]
            if (row["model"], row["pool"], row["group"]) == (name, "mean", "global")
            and row["primary"]
        ]
        assert curve == [point["mean"]["rankme"] for point in pool.curve()]
        routes = {
            row["route"]: row["effective_rank"]
            for row in figures["routes"]
            if (row["model"], row["pool"], row["group"]) == (name, "mean", "global")
            and row["primary"]
        }
        assert list(routes.values()) == [
            pool.routes["global"][route]["effective_rank"]
            for route in ("cov_centered", "svd_centered", "svd_uncentered")
        ]
        strongest = (model.pool().record().diagnostics or {})["influential_traces"]
        assert [
            row["influence"]
            for row in first_shown(figures["influences"])
            if (row["model"], row["group"]) == (name, "global")
        ] == [one["rankme"] for one in strongest]


def test_the_fitted_line_is_alphas(three: Path) -> None:
    rows = next(
        f for f in figures_in((three / "report.html").read_text()) if f["name"] == "spectra"
    )
    line = [
        row
        for row in first_shown(rows_of(rows))
        if (row["model"], row["group"]) == ("known", "global") and row["fitted"] is not None
    ]
    assert [row["rank"] for row in line] == list(range(11, 101))
    record = spectra.load(three / "out")["known"].pool().record()
    slope = math.log(line[0]["fitted"] / line[-1]["fitted"]) / math.log(100 / 11)
    assert slope == pytest.approx(record.alpha_req, rel=1e-12)
    off = [math.log(row["share"] / row["fitted"]) / row["rank"] for row in line]
    assert sum(off) == pytest.approx(0, abs=1e-9)  # weights 1/rank
    assert rows_of(rows)[0]["share"] <= 1


def test_it_is_small_and_names_no_place_on_the_net(written: Path) -> None:
    page = (written / "report.html").read_bytes()
    assert len(page) < 6e6
    head, _, _ = page.partition(b"<script")
    assert b"http" not in re.sub(rb"http-equiv", b"", head)


def test_labels_cannot_leave_their_place(three: Path) -> None:
    page = (three / "report.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 3
    ours, libraries, script = page.split("</script>\n<script>")
    assert "alert(1)" in ours
    for text in ("<script>alert", "<img", "\u202e"):
        assert text not in ours
        assert text not in script
    assert "alert(1)" not in libraries


def test_pictures_have_their_fonts(three: Path) -> None:
    found = Counter(path.suffix for path in (three / "figures").iterdir())
    assert found == {".svg": len(FIGURES), ".pdf": len(FIGURES), ".png": len(FIGURES)}
    for name in FIGURES:
        svg = (three / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        fonts = set(re.findall(r'<text[^>]*font-family="([^"]*)"', svg))
        assert fonts == {"Inter"}
        assert len(re.findall(r"@font-face[^}]*Inter[^}]*data:font/ttf;base64,", svg)) == 2
        pdf = (three / "figures" / f"{name}.pdf").read_bytes()
        named = set(re.findall(rb"/BaseFont\s*/[A-Z]{6}\+([A-Za-z-]+)", pdf))
        assert named <= {b"Inter-Regular", b"Inter-SemiBold"}
        assert named
        assert b"/FontFile2" in pdf or b"/FontFile3" in pdf


def test_a_report_says_what_is_missing_or_unfinished(three: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "half" / "pool_all").mkdir(parents=True)
    (tmp_path / "out" / "half" / "pool_all" / "basic_metrics.json").touch()
    (tmp_path / "out" / "known").symlink_to(three / "out" / "known")
    result = call("report", tmp_path / "out", "-o", tmp_path / "r.html", "--title", "A <b> & co")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "r.html").read_text()
    assert "half has no run.json: its run did not finish" in page
    assert "<h1>A &lt;b&gt; &amp; co</h1>" in page


def test_it_opens_on_what_there_is(tmp_path: Path, browser: Browser) -> None:
    config = spectra.RunConfig(pools=("mean",), jackknife="off", matched=False, diagnostics=False)
    spectra.run(write_synthetic(tmp_path / "in" / "known"), tmp_path / "out", config)
    write_report([tmp_path / "out"], tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html") as seen:
        drawn = figures_in((tmp_path / "report.html").read_text())
        assert [one["name"] for one in drawn] == ["groups", "depth", "sweep", "spectra", "routes"]
        for figure in drawn:
            marks = seen.page.locator(f"#{figure['name']} svg .mark-symbol.role-mark path")
            assert marks.count() > 0
        assert seen.said == []


@pytest.mark.parametrize("name", ["roy2007", "differank"])
def test_shares_are_of_the_variance_whatever_the_convention(tmp_path: Path, name: str) -> None:
    source = write_synthetic(tmp_path / "in" / "known")
    config = spectra.RunConfig(pools=("mean",), convention=name, counts=(32,), repeats=2)
    spectra.run(source, tmp_path / "out", config)
    write_report([tmp_path / "out"], tmp_path / "report.html")
    (rows,) = (
        rows_of(one)
        for one in figures_in((tmp_path / "report.html").read_text())
        if one["name"] == "spectra"
    )
    routes = spectra.load(tmp_path / "out")["known"].pool("mean").routes["global"]
    shares = [row["share"] for row in rows if row["group"] == "global"]
    assert 0.9 < sum(shares) <= 1
    assert shares[0] == routes["cov_centered"]["values"][0] / routes["total_variance"]


def test_more_models_than_colours_are_refused(three: Path, tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"m{number}").mkdir()
    models = {f"m{n}": spectra.load(three / "out")["known"] for n in range(7)}
    with pytest.raises(UsageError, match="7 models were given"):
        shown_models(spectra.Results(models))


def test_names_differ_where_things_do() -> None:
    names = Names()
    long = 300 * "a"
    assert names.of(1, long) == 39 * "a" + "…"
    assert names.of(2, long + "b") == 39 * "a" + "… (2)"
    assert names.of(1, long) == 39 * "a" + "…"
    assert names.of(3, "") == '""'


def test_one_report_of_several_directories(three: Path) -> None:
    results = load_all([three / "out" / "known", three / "out" / "hostile"])
    assert [one.name for one in shown_models(results)] == ["known", "hostile"]


# ---- in a browser -------------------------------------------------------------------------------


@pytest.fixture
def seen(three: Path, browser: Browser) -> Iterator[Opened]:
    with opened(browser, three / "report.html") as found:
        yield found


def test_every_chart_is_drawn_and_nothing_is_fetched(written: Path, browser: Browser) -> None:
    with opened(browser, written / "report.html") as seen:
        drawn = figures_in((written / "report.html").read_text())
        for figure in drawn:
            marks = (
                f"#{figure['name']} svg g[class*=mark-]:is(.mark-symbol,.mark-rect,.mark-line) path"
            )
            assert seen.page.locator(marks).count() > 0, figure["name"]
        groups = first_shown(rows_of(drawn[0]))
        expected = sum(row["rankme"] is not None for row in groups)
        points = seen.page.locator("#groups svg .mark-symbol.role-mark path").count()
        assert points == expected > 20
        assert seen.said == []
        assert seen.asked == [(written / "report.html").as_uri()]
        assert seen.js("document.documentElement.scrollWidth") <= 1400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_in_light_and_dark(three: Path, scheme: Any, browser: Browser) -> None:
    with opened(browser, three / "report.html", width=360, scheme=scheme) as seen:
        assert seen.said == []
        assert seen.js("document.documentElement.scrollWidth") == 360
        ink, paper = (
            seen.js(f"getComputedStyle(document.body).{name}")
            for name in ("color", "backgroundColor")
        )
        dark = {"light": paper, "dark": ink}[scheme]
        assert min(map(int, re.findall(r"\d+", dark)[:3])) > 200
        label = seen.page.locator("#groups svg .role-axis-label text").first
        assert label.evaluate("one => getComputedStyle(one).fill") == ink
        widths = seen.js("[...document.querySelectorAll('.chart svg')].map(s => s.clientWidth)")
        assert all(200 < width <= 340 for width in widths)


def test_print_is_light_and_without_controls(three: Path, browser: Browser) -> None:
    with opened(browser, three / "report.html", scheme="dark") as seen:
        seen.page.emulate_media(media="print", color_scheme="dark")
        ink = seen.js("getComputedStyle(document.body).color")
        assert max(map(int, re.findall(r"\d+", ink)[:3])) < 60
        assert not seen.page.locator("#controls").is_visible()
        assert seen.page.locator("#groups svg").is_visible()


def _tooltip(seen: Opened) -> dict[str, str]:
    rows = seen.page.locator("#vg-tooltip-element.visible tr")
    rows.first.wait_for(timeout=10_000)
    return {
        row.locator(".key").inner_text(): row.locator(".value").inner_text() for row in rows.all()
    }


def test_hovering_gives_the_results_numbers(seen: Opened, three: Path) -> None:
    results = spectra.load(three / "out")
    rows = first_shown(rows_of(figures_in((three / "report.html").read_text())[0]))
    points = seen.page.locator("#groups svg .mark-symbol.role-mark path")
    compared = 0
    for place in range(0, points.count(), 5):
        points.nth(place).scroll_into_view_if_needed()
        points.nth(place).hover(force=True)
        tip = _tooltip(seen)
        matching = [
            row
            for row in rows
            if (row["model"], row["label"], row["counts"])
            == (tip["model"], tip["group"], tip["of"])
        ]
        if len(matching) == 1:  # one dot may lie under another
            (row,) = matching
            assert float(tip["value"]) == float(f"{row['rankme']:.6g}")
            assert float(tip["rows"]) == row["rows"]
            if row["counts"] == "all rows" and row["kind"] == "segment":
                record = results[row["model"]].pool().record(segment=row["group"])
                assert row["rankme"] == record.rankme
            compared += 1
    assert compared >= 4


def test_choices_change_every_chart_that_follows_them(seen: Opened, three: Path) -> None:
    drawn = {one["name"]: one for one in figures_in((three / "report.html").read_text())}
    before = seen.page.locator("#groups .counts").inner_text()
    seen.page.select_option("select[name=pool]", "mean")
    seen.page.select_option("select[name=metric]", "rankme_sigma")
    after = seen.page.locator("#groups .counts").inner_text()
    assert "pool all" in before
    assert "pool mean" in after
    rows = [r for r in rows_of(drawn["groups"]) if r["pool"] == "mean" and r["primary"]]
    shown = seen.js("spectraViews.get('groups').data('data_0') || []")
    values = sorted(row["value"] for row in shown if "value" in row)
    expected = sorted(r["rankme_sigma"] for r in rows if r["rankme_sigma"] is not None)
    assert values == pytest.approx(expected, rel=1e-15)
    category = next(r["group"] for r in rows if r["kind"] == "category")
    faint = seen.page.locator("#depth svg .mark-area path").count()
    seen.page.select_option("select[name=group]", category)
    assert seen.page.locator("#depth svg .mark-area path").count() != faint
    seen.page.goto("about:blank")
    seen.page.go_back()
    seen.page.wait_for_selector("html[data-ready]", state="attached")
    metric = seen.page.locator("select[name=metric]").input_value()
    assert seen.js("spectraViews.get('groups').signal('metric')") == metric
    assert seen.said == []


def test_what_is_saved_is_what_is_shown(seen: Opened, three: Path) -> None:
    figure = figures_in((three / "report.html").read_text())[0]
    with seen.page.expect_download() as download:
        seen.page.click("#groups [data-save=csv]")
    text = Path(download.value.path()).read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    rows = rows_of(figure)
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line["label"].removeprefix("'") == row["label"]
        assert (float(line["rankme"]) if line["rankme"] else None) == row["rankme"]
    with seen.page.expect_download() as download:
        seen.page.click("#groups [data-save=svg]")
    svg = Path(download.value.path()).read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "@font-face" in svg
    with seen.page.expect_download() as download:
        seen.page.click("#groups [data-save=png]")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_hostile_labels_are_text(three: Path, browser: Browser) -> None:
    with opened(browser, three / "report.html") as seen:
        seen.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        shown = seen.page.locator("#numbers bdi", has_text="</script><script>alert(1)").count()
        assert shown == 1
        axis = seen.page.locator("#groups svg text", has_text="</script><script>").count()
        assert axis >= 1
        option = seen.page.locator("select[name=group] option", has_text="</script>")
        seen.page.select_option("select[name=group]", option.first.get_attribute("value"))
        assert seen.page.locator("script").count() == 3
        assert seen.page.locator("img").count() == 0
        assert seen.said == []
