"""layer_profile.json: what it holds, how it comes back, and that many layers are as one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import spectra
from spectra.artifacts import Sample, Step, write_artifact
from spectra.backend.host import HostBackend
from spectra.errors import (
    LayerMismatchError,
    ResultsChangedError,
    ResultsFormatError,
    UsageError,
)
from spectra.outputs import FILES
from spectra.outputs.layers import FIELDS
from spectra.preparation import prepare
from spectra.statistics import METRICS
from tests.artifact_files import edit
from tests.cli_runs import call

DIM, BLOCKS = 8, 11
LAYERS = tuple(range(BLOCKS + 1))
CATEGORIES = ("plan", "compute", "check")
CONFIG = spectra.RunConfig(
    layers="all", pools=("all", "last"), counts=(16,), repeats=1, num_bins=2, backend="cpu"
)


def write_layers(path: Path, layers: tuple[int, ...] = LAYERS, blocks: int | None = BLOCKS) -> Path:
    """Layers whose spectra fall the faster the higher they are; the last one is normed."""
    rng = np.random.default_rng(0)
    samples, offset = [], 0
    for trace in range(6):
        end, steps = 2, []
        for number in range(6):
            start, end = end, end + int(rng.integers(4, 12))
            segment, category = "thought" if number < 4 else "solution", CATEGORIES[number % 3]
            steps.append(Step(start, end, offset + start, offset + end, segment, category))
        samples.append(Sample(f"trace-{trace}", None, offset, end, 2, tuple(steps)))
        offset += end
    states = rng.standard_normal((offset, DIM))
    falls = np.arange(1, DIM + 1.0)
    return write_artifact(
        path,
        model=path.name,
        layers={
            layer: (states * falls ** (-layer / BLOCKS)).astype(ml_dtypes.bfloat16)
            for layer in layers
        },
        samples=samples,
        final_norm=False,
        extra={} if blocks is None else {"num_hidden_layers": blocks},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve layers, in out/m."""
    root = tmp_path_factory.mktemp("layers")
    spectra.run(write_layers(root / "in" / "m"), root / "out", CONFIG)
    return root


def profile_of(root: Path) -> Any:
    return json.loads((root / "out/m/layer_profile.json").read_text())


def folder(root: Path, layer: int, pool: str) -> Path:
    top = root / "out" / "m"
    return (top if layer == BLOCKS else top / f"layer_{layer}") / f"pool_{pool}"


# ---- what it holds ------------------------------------------------------------------------------


def test_points_are_the_records_of_the_other_files(root: Path) -> None:
    profile = profile_of(root)
    assert list(profile["pools"]) == ["all", "last"]
    for pool, parts in profile["pools"].items():
        assert list(parts["categories"]) == sorted(CATEGORIES)
        for layer in LAYERS:
            basic = json.loads((folder(root, layer, pool) / FILES[0]).read_text())
            groups = {"global": (parts["global"], basic["global"])}
            for kind in ("segments", "categories"):
                groups |= {(kind, n): (parts[kind][n], basic[kind][n]) for n in basic[kind]}
            for points, record in groups.values():
                point = points[layer]
                assert point["layer"] == layer
                assert point["relative_depth"] == layer / BLOCKS
                assert point["final_norm"] is basic["final_norm"]
                assert {name: point[name] for name in FIELDS} == {n: record[n] for n in FIELDS}
    falling = [point["rankme"] for point in profile["pools"]["all"]["global"]]
    assert falling == sorted(falling, reverse=True)
    assert {*METRICS, "se", "num_rows", "num_blocks", "status", "reason"} <= set(FIELDS)


def test_the_head_is_that_of_the_other_files(root: Path) -> None:
    profile = profile_of(root)
    sweep = json.loads((folder(root, 3, "all") / FILES[2]).read_text())
    shared = [name for name in list(sweep)[:11] if name not in ("layer", "final_norm", "pool")]
    assert list(profile) == [*shared, "num_hidden_layers", "layers", "pools"]
    assert {*shared} >= {"format_version", "model", "convention", "precision", "categories"}
    for name in shared:
        if name != "left_out":
            assert profile[name] == sweep[name]
    assert profile["left_out"] == [{"layer": layer, **sweep["left_out"]} for layer in LAYERS]
    assert profile["num_hidden_layers"] == BLOCKS
    assert [one["layer"] for one in profile["layers"]] == list(LAYERS)


def test_what_is_left_out_is_told_by_layer(tmp_path: Path) -> None:
    source = write_layers(tmp_path / "in" / "m", layers=(2, 5))
    config = replace(CONFIG, pools=("all",), layers=(5, 2), drop_norms=1.5, jackknife="off")
    spectra.run(source, tmp_path / "out", config)
    profile = profile_of(tmp_path)
    dropped = [one["large_norms"]["tokens"] for one in profile["left_out"]]
    rows = [point["num_rows"] for point in profile["pools"]["all"]["global"]]
    assert [one["layer"] for one in profile["layers"]] == [2, 5]
    assert len({sum(pair) for pair in zip(dropped, rows, strict=True)}) == 1
    assert dropped[0] != dropped[1]
    assert profile["standard_errors"] is None
    assert {point["se"] for point in profile["pools"]["all"]["global"]} == {None}


def test_undefined_values_are_null_with_a_reason(root: Path) -> None:
    for point in profile_of(root)["pools"]["all"]["global"]:
        assert (point["alpha_req"], point["status"]) == (None, "short_spectrum")
        assert "alpha_req is fitted on ranks 11 to 100" in point["reason"]


def test_without_the_number_of_blocks_there_is_no_relative_depth(tmp_path: Path) -> None:
    source = write_layers(tmp_path / "in" / "m", layers=(2, 5), blocks=None)
    spectra.run(source, tmp_path / "out", replace(CONFIG, pools=("all",)))
    profile = profile_of(tmp_path)
    assert profile["num_hidden_layers"] is None
    assert [one["relative_depth"] for one in profile["layers"]] == [None, None]
    points = spectra.load(tmp_path / "out")["m"].layer_profile.points()
    assert [(one.layer, one.relative_depth) for one in points] == [(2, None), (5, None)]


def test_fewer_blocks_than_the_highest_layer_is_a_contradiction(tmp_path: Path) -> None:
    source = write_layers(tmp_path / "m", layers=(2, 5))
    edit(source / "config.json", lambda config: config.update(num_hidden_layers=4))
    with pytest.raises(LayerMismatchError, match="num_hidden_layers is 4, and layer 5 is saved"):
        spectra.run(source, tmp_path / "out", CONFIG)


# ---- when it is there ---------------------------------------------------------------------------


def test_it_is_listed_foreseen_and_goes_with_its_run(tmp_path: Path) -> None:
    source, out = write_layers(tmp_path / "in" / "m", layers=(2, 5)), tmp_path / "out"
    config = replace(CONFIG, pools=("all",))
    flags = ("--pools", "all", "--counts", "16,32", "--repeats", 2, "--bins", 2)
    foreseen = {}
    for layers in ("all", "5"):
        done = call("run", source, "--out", out, "--layers", layers, *flags, "--dry-run", "--json")
        (model,) = json.loads(done.stdout)["models"]
        foreseen[layers] = set(model["writes"])
    (run,) = spectra.run(source, out, config)
    content = (run.out / "layer_profile.json").read_bytes()
    outputs = json.loads((run.out / "run.json").read_text())["outputs"]
    assert outputs["layer_profile.json"] == hashlib.sha256(content).hexdigest()
    assert {*outputs, "run.json"} == foreseen["all"]
    again = spectra.run(source, tmp_path / "again", config)[0].out
    assert (again / "layer_profile.json").read_bytes() == content
    (run,) = spectra.run(source, out, replace(config, layers=(5,)))
    outputs = json.loads((run.out / "run.json").read_text())["outputs"]
    assert {*outputs, "run.json"} == foreseen["5"]
    assert not (run.out / "layer_profile.json").exists()
    with pytest.raises(UsageError, match="layer 5 alone"):
        _ = spectra.load(out)["m"].layer_profile


def test_the_estimate_of_the_files_has_it(root: Path) -> None:
    backend = HostBackend(1)
    expected = prepare(root / "in/m", CONFIG, backend).output_bytes(CONFIG)
    alone = prepare(root / "in/m", replace(CONFIG, layers=(3,)), backend).output_bytes(CONFIG)
    size = (root / "out/m/layer_profile.json").stat().st_size
    assert size <= expected - len(LAYERS) * alone <= 2 * size
    written = sum(path.stat().st_size for path in (root / "out").rglob("*") if path.is_file())
    assert written <= expected <= 4 * written


def test_diff_compares_it(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "out/m", tmp_path / "m")
    assert call("diff", root / "out/m", tmp_path / "m").exit_code == 0

    def change(profile: Any) -> None:
        profile["pools"]["last"]["segments"]["thought"][7]["rankme"] *= 1.01

    edit(tmp_path / "m/layer_profile.json", change)
    found = call("diff", root / "out/m", tmp_path / "m")
    assert found.exit_code == 1
    assert "layer_profile.json: pools.last.segments.thought[7].rankme: " in found.stdout
    (tmp_path / "m/layer_profile.json").unlink()
    assert "layer_profile.json: not in B" in call("diff", root / "out/m", tmp_path / "m").stdout


def test_the_closing_line_names_it(tmp_path: Path) -> None:
    source = write_layers(tmp_path / "m", layers=(2, 5))
    flags = ("--pools", "last", "--counts", "16", "--repeats", 1, "--bins", 1)
    for layers, named in (("2,5", True), ("2", False)):
        done = call("run", source, "--out", tmp_path / "out", "--layers", layers, *flags)
        assert ("layer_profile.json, metrics.csv, run.json)" in done.stdout) is named


# ---- how it comes back --------------------------------------------------------------------------


def test_it_comes_back_as_records(root: Path) -> None:
    model = spectra.load(root / "out")["m"]
    profile = model.layer_profile
    assert profile is model.layer_profile
    assert (profile.layers, profile.pools) == (LAYERS, ("all", "last"))
    assert profile.num_hidden_layers == BLOCKS
    asked: list[dict[str, Any]] = [{}, {"segment": "solution"}, {"category": "check"}]
    for labels in asked:
        for point in profile.points("last", **labels):
            record = model.pool("last", layer=point.layer).record(**labels)
            assert all(getattr(point.record, name) == getattr(record, name) for name in FIELDS)
    assert len(dict(profile.groups())) == 1 + 2 + len(CATEGORIES)
    assert "LayerProfile: m, pool all, all rows" in repr(profile)
    assert f"<td>{profile.points()[0].record.num_rows}</td>" in profile._repr_html_()


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"pool": "mean"}, "Expected one of all, last"),
     ({"category": "guess"}, "a category among 'check', 'compute', 'plan'"),
     ({"segment": "thought", "category": "plan"}, "not both")],
)  # fmt: skip
def test_a_group_that_is_not_there(root: Path, asked: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        spectra.load(root / "out")["m"].layer_profile.points(**asked)


def _deep(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda profile: change(profile["pools"]["all"]["categories"]["plan"])


@pytest.mark.parametrize(
    ("change", "named"),
    [(lambda p: p.update(left_out={}), "left_out is an object"),
     (lambda p: p.pop("layers"), "layers is not there"),
     (lambda p: p["layers"].pop(), "not those of the other files"),
     (lambda p: p["layers"].reverse(), "each layer once and rising"),
     (lambda p: p["pools"].pop("last"), "not those of the other files"),
     (_deep(lambda points: points.pop(4)), "the points are not of the file's layers"),
     (_deep(lambda points: points[4].update(layer=3)), "the points are not of the file's layers"),
     (_deep(lambda points: points[4].update(rankme=1e200)), r"plan\[4\]\.rankme is 1e\+200"),
     (_deep(lambda points: points[4].pop("status")), r"plan\[4\]\.status is not there"),
     (_deep(lambda points: points[4].update(relative_depth=1)), "relative_depth is 1; expected")],
)  # fmt: skip
def test_another_shape_is_one_error(
    root: Path, tmp_path: Path, change: Callable[[Any], object], named: str
) -> None:
    shutil.copytree(root / "out/m", tmp_path / "m")
    file = tmp_path / "m/layer_profile.json"
    edit(file, change)
    with pytest.raises(ResultsChangedError, match="SHA-256"):
        _ = spectra.load(tmp_path / "m")["m"].layer_profile
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    edit(tmp_path / "m/run.json", lambda run: run["outputs"].update({file.name: digest}))
    with pytest.raises(ResultsFormatError, match=named):
        _ = spectra.load(tmp_path / "m")["m"].layer_profile
    edit(tmp_path / "m/run.json", lambda run: run["outputs"].pop(file.name))
    with pytest.raises(ResultsFormatError, match=r"no layer_profile\.json"):
        _ = spectra.load(tmp_path / "m")["m"].layer_profile


# ---- many layers --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 4, BLOCKS])
def test_a_layer_among_many_gives_the_bytes_that_it_gives_alone(
    root: Path, tmp_path: Path, layer: int
) -> None:
    spectra.run(root / "in/m", tmp_path / "out", replace(CONFIG, layers=(layer,)))
    for pool in CONFIG.pools:
        for name in FILES:
            alone, among = (folder(one, layer, pool) / name for one in (tmp_path, root))
            assert alone.read_bytes() == among.read_bytes()


def test_layers_take_memory_one_after_the_other(root: Path) -> None:
    one = prepare(root / "in/m", replace(CONFIG, layers=(3,)), HostBackend(1))
    assert prepare(root / "in/m", CONFIG, HostBackend(1)).planned == one.planned
