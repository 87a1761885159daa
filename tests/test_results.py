"""`spectra.load`: what a run wrote comes back, checked, as objects and as frames."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import spectra
from spectra.errors import (
    MissingFileError,
    ResultsChangedError,
    ResultsFormatError,
    ResultsNotFoundError,
    UsageError,
)
from spectra.grouping import Group
from spectra.outputs import FILES
from tests.artifact_files import write_tiny

EMBEDDED = Path(spectra.__file__).parent / "embedded"
CONFIG = spectra.RunConfig(layers="all", counts=(4, 8), repeats=2, num_bins=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, spectra.ModelRun]:
    root = tmp_path_factory.mktemp("results")
    write_tiny(root / "annotated_traces_reprs" / "tiny")
    (run,) = spectra.run(root / "annotated_traces_reprs", root / "out", CONFIG)
    return root / "out", run


def test_records_come_back_as_they_were(written: tuple[Path, spectra.ModelRun]) -> None:
    out, run = written
    model = spectra.load(out)["tiny"]
    assert (model.layers, model.primary, model.pools) == (
        (2, 5),
        5,
        ("all", "mean", "first", "last"),
    )
    found = {(one.layer, one.pool): one.records for one in model.every_pool()}
    assert found == run.records


def test_matched_counts_come_back(tmp_path: Path) -> None:
    config = spectra.RunConfig(pools=("all",), counts=(32,), repeats=2, jackknife="off")
    (run,) = spectra.run(EMBEDDED, tmp_path, config)
    expected = [
        (Group(kind, one["segment"], one["category"], one["bin"]), compared["count"], one)
        for kind, compared in run.matched[15, "all"].items()
        for one in compared["groups"]
    ]
    pool = spectra.load(tmp_path)["smollm2-135m-instruct"].pool()
    assert sorted(pool.matched(), key=repr) == sorted(expected, key=repr)
    assert {group.kind for group, _, _ in expected} >= {"segment", "category", "bin"}


def test_a_pool_answers_by_labels(written: tuple[Path, spectra.ModelRun]) -> None:
    pool = spectra.load(written[0] / "tiny")["tiny"].pool("mean", layer=2)
    documents = {
        n: json.loads((written[0] / "tiny/layer_2/pool_mean" / n).read_text()) for n in FILES
    }
    basic, depth, sweep, routes = documents.values()
    assert pool.record().asdict() == basic["global"]
    assert pool.record(segment="thought").asdict() == basic["segments"]["thought"]
    assert pool.record(category="Deduction").asdict() == basic["categories"]["Deduction"]
    both = pool.record(segment="thought", category="Deduction")
    assert both.asdict() == basic["segment_categories"]["thought"]["Deduction"]
    assert pool.record(bin=1).asdict() == depth["bins"][1]
    binned = pool.record(category="Deduction", bin=0)
    assert binned.asdict() == depth["categories"]["Deduction"]["bins"][0]
    assert pool.curve(segment="thought") == sweep["curves"]["thought"]
    assert pool.spectrum("svd_uncentered") == routes["global"]["svd_uncentered"]["values"]
    assert (pool.model, pool.layer, pool.pool, pool.dim) == ("tiny", 2, "mean", 8)


@pytest.mark.parametrize(
    ("labels", "named"),
    [({"category": "deduction"}, "'Deduction'"), ({"bin": 2}, "a bin below 2"),
     ({"segment": "thought", "category": "Deduction", "bin": 0}, "one segment or one category")],
)  # fmt: skip
def test_a_group_that_is_not_there(
    written: tuple[Path, spectra.ModelRun], labels: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        spectra.load(written[0])["tiny"].pool().record(**labels)


def test_other_requests_that_cannot_be_met(written: tuple[Path, spectra.ModelRun]) -> None:
    model = spectra.load(written[0])["tiny"]
    with pytest.raises(UsageError, match="layer among 2, 5"):
        model.pool(layer=3)
    with pytest.raises(UsageError, match="cov_centered, svd_centered, svd_uncentered"):
        model.pool().spectrum("mean_energy_share")
    with pytest.raises(UsageError, match="polars or pandas"):
        model.frame("numpy")  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_frames_hold_what_the_table_holds(
    written: tuple[Path, spectra.ModelRun], library: Any
) -> None:
    results = spectra.load(written[0])
    frame = results["tiny"].frame(library)
    assert list(results.frame(library).columns) == ["run", *frame.columns]
    with (written[0] / "tiny" / "metrics.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    rows = frame.to_dicts() if library == "polars" else frame.astype(object).to_dict("records")
    assert len(rows) == len(lines) > 1000
    for row, line in zip(rows, lines, strict=True):
        assert list(row) == list(line)
        for name, cell in line.items():
            value = row[name]
            if name in ("value", "se") and cell:
                assert float(cell) == value
            else:
                assert cell == ("" if str(value) in ("None", "nan", "<NA>") else str(value))


def test_views_escape_labels(written: tuple[Path, spectra.ModelRun]) -> None:
    record = spectra.load(written[0])["tiny"].pool().record()
    assert repr(record).startswith(f"Record: rankme {record.rankme:.2f}, ")
    assert f"<td>{record.num_rows}</td>" in record._repr_html_()


def test_hostile_labels_are_text(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "in" / "tiny")
    index = (source / "index.json").read_text()
    (source / "index.json").write_text(index.replace("Deduction", "<b>\\u202e\\ud800" + 300 * "x"))
    (run,) = spectra.run(source, tmp_path / "out", CONFIG)
    results = spectra.load(tmp_path / "out")
    (hostile,) = (name for name in results["tiny"].pool().categories if name.startswith("<b>"))
    for text in (results._repr_html_(), run._repr_html_()):
        assert "<b>" not in text
        assert "&lt;b&gt;\\u202e" in text
    for text in (repr(results), repr(run)):
        assert "<b>\\u202e\\ud800" in text
        assert max(map(len, text.splitlines())) < 250
    labels = set(results.frame()["category"].to_list())
    assert hostile.replace("\ud800", "\\ud800") in labels


def test_unfinished_runs_are_named(written: tuple[Path, spectra.ModelRun], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="not a directory"):
        spectra.load(tmp_path / "absent")
    with pytest.raises(ResultsNotFoundError, match="holds no results"):
        spectra.load(tmp_path)
    (tmp_path / "layer_x" / "pool_party").mkdir(parents=True)  # names that say nothing
    with pytest.raises(ResultsNotFoundError, match="holds no results"):
        spectra.load(tmp_path)
    (tmp_path / "half" / "pool_all").mkdir(parents=True)
    (tmp_path / "half" / "pool_all" / FILES[0]).touch()
    with pytest.raises(ResultsNotFoundError, match="did not finish"):
        spectra.load(tmp_path)
    (tmp_path / "tiny").symlink_to(written[0] / "tiny")
    results = spectra.load(tmp_path)
    assert (list(results), results.unfinished) == (["tiny"], (tmp_path / "half",))


def _broken(written: Path, tmp_path: Path, name: str, old: str, new: str) -> spectra.Results:
    """The results with one file changed, and listed in run.json as it then is."""
    import hashlib
    import shutil

    copy = tmp_path / "tiny"
    shutil.copytree(written / "tiny", copy)
    content = (copy / name).read_text()
    assert old in content
    changed = content.replace(old, new)
    (copy / name).write_text(changed)
    if name != "run.json":
        run = json.loads((copy / "run.json").read_text())
        run["outputs"][name] = hashlib.sha256(changed.encode()).hexdigest()
        (copy / "run.json").write_text(json.dumps(run))
    return spectra.load(copy)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("run.json", '"format_version": 1', '"format_version": 2'),
     ("run.json", '"outputs": {', '"outputs": [], "x": {'),
     ("run.json", '"layers": [', '"layers": ["a"], "x": ['),
     ("pool_all/basic_metrics.json", '"global": {', '"globe": {'),
     ("pool_all/basic_metrics.json", '"rankme": ', '"rank": '),
     ("pool_all/depth_profile.json", '"bins": [', '"bins": 3, "x": [')],
)  # fmt: skip
def test_files_of_another_shape(
    written: tuple[Path, spectra.ModelRun], tmp_path: Path, name: str, old: str, new: str
) -> None:
    with pytest.raises(ResultsFormatError, match=r"[Rr]un it\s+again"):
        _broken(written[0], tmp_path, name, old, new)["tiny"].pool()


def test_a_file_that_the_run_did_not_write(
    written: tuple[Path, spectra.ModelRun], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(written[0] / "tiny", tmp_path / "tiny")
    with (tmp_path / "tiny/pool_all/depth_profile.json").open("a") as file:
        file.write(" ")
    model = spectra.load(tmp_path)["tiny"]
    assert model.pool("mean").record().num_rows == 4
    with pytest.raises(ResultsChangedError, match="SHA-256"):
        model.pool()
