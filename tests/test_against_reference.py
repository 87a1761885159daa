"""Every value of the four files against float64 NumPy SVDs of the rows (`spectra.reference`)."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import spectra
from spectra import reference
from spectra.artifacts import open_artifact
from spectra.engine.matched import MOST
from spectra.grouping import Group, SampleLike
from spectra.reference import EPS64
from spectra.sampling import nested_sample

from . import reference_cases as cases
from .tolerances import ALPHA, BAR, LEADING, R2, SHARE, Tolerance

TOLERANCES: Mapping[str, Tolerance] = {"alpha_req": ALPHA, "alpha_req_r2": R2}
COUNTS = ("num_rows", "num_tokens", "num_steps", "num_traces", "rank_ceiling")
ROUTES = ("cov_centered", "svd_centered", "svd_uncentered")
FILES = ("basic_metrics", "depth_profile", "token_count_sweep", "svd_vs_covariance")
REAL = (
    Path(__file__).parents[2] / "shared/data/artifacts/annotated_traces_reprs/smollm2-135m-instruct"
)

# Neither changes a number of those compared here: other tests hold to that.
PLAIN = spectra.RunConfig(jackknife="off", diagnostics=False, backend="cpu")

Differences = Iterator[str]
Compare = Callable[[Any, Any, str], Differences]


# --- comparing ------------------------------------------------------------------------------------


def numbers(actual: Any, expected: Any, where: str) -> Differences:
    """Metrics by name: in a record, a route, or a point's means."""
    for name in (*reference.METRICS, "effective_rank"):
        if name in expected:
            tolerance = TOLERANCES.get(name, BAR)
            if not tolerance.holds(actual[name], expected[name]):
                yield f"{where}.{name}: {actual[name]!r}, expected {expected[name]!r}"


def records(actual: Any, expected: Any, where: str) -> Differences:
    """A record: every metric and count, the status, and a reason where it is not ok."""
    yield from numbers(actual, expected, where)
    for name in (*COUNTS, "status"):
        if actual[name] != expected[name]:
            yield f"{where}.{name}: {actual[name]!r}, expected {expected[name]!r}"
    if (actual["reason"] is None) != (expected["status"] == "ok"):
        yield f"{where}.reason: {actual['reason']!r} with status {expected['status']}"


def three_routes(actual: Any, expected: Any, where: str) -> Differences:
    """A group of svd_vs_covariance.json."""
    for name in ROUTES:
        route, here = expected[name], f"{where}.{name}"
        yield from numbers(actual[name], route, here)
        if actual[name]["status"] != route["status"]:
            yield f"{here}.status: {actual[name]['status']}, expected {route['status']}"
        yield from leading(actual[name]["values"], route["spectrum"], here)
    if not SHARE.holds(actual["mean_energy_share"], expected["mean_energy_share"]):
        yield f"{where}.mean_energy_share: {actual['mean_energy_share']!r}"
    disagreement, largest = actual["max_disagreement"], most_disagreement(expected)
    if disagreement is not None and not 0 <= disagreement <= largest:
        yield f"{where}.max_disagreement: {disagreement!r}, expected at most {largest!r}"


def most_disagreement(expected: Any) -> float:
    """How far two findings of an eigenvalue may differ: its Gram matrix's rounding over itself.

    That is at most a few hundred eps of the energy, and of the values that are compared, those
    above the least rounding there can be, the smallest has most of it.
    """
    squares = np.array(expected["svd_centered"]["spectrum"]) ** 2
    energy = float(np.sum(np.array(expected["svd_uncentered"]["spectrum"]) ** 2))
    compared = squares[squares > 2 * EPS64 * squares.max(initial=0.0)]
    return float(min(1.0, 200 * EPS64 * energy / compared[-1])) if len(compared) else 1.0


def leading(actual: Sequence[float], expected: Sequence[float], where: str) -> Differences:
    """The first values of a spectrum, to a share of the largest."""
    if len(actual) != min(len(expected), 100):
        yield f"{where}.values: {len(actual)} of {len(expected)}"
    for k, (value, true) in enumerate(zip(actual, expected, strict=False)):
        if abs(value - true) > LEADING.relative * expected[0]:
            yield f"{where}.values[{k}]: {value!r}, expected {true!r}"


def named(actual: Any, expected: Any, where: str, compare: Compare) -> Differences:
    """Groups by name: the same names, each compared."""
    if list(actual) != list(expected):
        yield f"{where}: groups {list(actual)}, expected {list(expected)}"
        return
    for name, value in expected.items():
        yield from compare(actual[name], value, f"{where}.{name}")


def basic_groups(actual: Any, expected: Any, compare: Compare) -> Differences:
    """The nesting that basic_metrics.json and svd_vs_covariance.json share."""
    yield from compare(actual["global"], expected["global"], "global")
    for kind in ("segments", "categories"):
        yield from named(actual[kind], expected[kind], kind, compare)
    for segment, value in expected["segment_categories"].items():
        yield from named(actual["segment_categories"][segment], value, segment, compare)


def depth(actual: Any, expected: Any) -> Differences:
    """depth_profile.json."""

    def bins(ours: Any, true: Any, where: str) -> Differences:
        if len(ours["bins"]) != len(true["bins"]):
            yield f"{where}: {len(ours['bins'])} bins"
        for b, record in enumerate(true["bins"]):
            yield from records(ours["bins"][b], record, f"{where}.bins[{b}]")

    yield from bins(actual, expected, "depth")
    for kind in ("segments", "categories"):
        yield from named(actual[kind], expected[kind], f"depth.{kind}", bins)
    for name in ("num_bins", "edges"):
        if actual[name] != expected[name]:
            yield f"depth.{name}: {actual[name]}"


def sweep(actual: Any, rows: reference.Rows, config: spectra.RunConfig, pool: str) -> Differences:
    """token_count_sweep.json: the same subsamples, solved by the reference."""
    wanted = {"global": Group("global"), **{s: Group("segment", s) for s in reference.SEGMENTS}}
    for name in rows.categories:
        # A category may be called like a segment; its curve then says that it is a category's.
        key = f"category:{name}" if name in wanted else name
        wanted[key] = Group("category", None, name)

    def curve(points: Any, group: Group, where: str) -> Differences:
        members = rows.where(group.segment, group.category)
        fitting = [count for count in actual["counts"] if count <= len(members.x)]
        if [point["count"] for point in points] != fitting:
            yield f"{where}: counts {[point['count'] for point in points]}, expected {fitting}"
            return
        for point in points:
            mean, sd = point_of(members.x, group, point["count"], config, pool)
            yield from numbers(point["mean"], mean, f"{where}[{point['count']}].mean")
            for name, value in sd.items():
                # A difference of repeats has their error, not its own size, for a scale.
                scale = Tolerance(0.0, 2e-9 * abs(mean[name] or 0.0) + 1e-9, "")
                if not scale.holds(point["sd"][name], value):
                    yield f"{where}[{point['count']}].sd.{name}: {point['sd'][name]}, not {value}"

    yield from named(actual["curves"], wanted, "curves", curve)


def matched(
    files: Mapping[str, Any], rows: reference.Rows, config: spectra.RunConfig, pool: str
) -> Differences:
    """The blocks "matched": who is compared at which count, and what two groups a kind have."""
    names, bins = rows.categories, range(config.num_bins)
    grid = files["token_count_sweep"]["counts"]
    segments = reference.SEGMENTS
    kinds = {
        ("basic_metrics", "segments"): [Group("segment", s) for s in segments],
        ("basic_metrics", "categories"): [Group("category", None, c) for c in names],
        ("basic_metrics", "segment_categories"): [
            Group("segment_category", s, c) for s in segments for c in names
        ],
        ("depth_profile", "bins"): [Group("bin", None, None, b) for b in bins],
        ("depth_profile", "segments"): [
            Group("segment_bin", s, None, b) for s in segments for b in bins
        ],
        ("depth_profile", "categories"): [
            Group("category_bin", None, c, b) for c in names for b in bins
        ],
    }
    for (file, kind), groups in kinds.items():
        block = files[file]["matched"][kind]
        where = f"{file}.matched.{kind}"
        members = {group: rows.where(group.segment, group.category, group.bin) for group in groups}
        sizes = {group: len(own.x) for group, own in members.items() if len(own.x)}
        enough = [group for group, size in sizes.items() if size >= 32]
        count = min(sizes[group] for group in enough) if len(enough) > 1 else None
        count = count and min(count, MOST[enough[0].kind])
        if block["count"] != count:
            yield f"{where}.count: {block['count']}, expected {count}"
            continue
        there = [(g["segment"], g["category"], g["bin"], g["num_rows"]) for g in block["groups"]]
        rest = [(g["segment"], g["category"], g["bin"], g["num_rows"]) for g in block["left_out"]]
        wanted = [(g.segment, g.category, g.bin, sizes[g]) for g in (enough if count else [])]
        small = [(g.segment, g.category, g.bin, n) for g, n in sizes.items() if n < 32]
        if there != wanted or rest != small:
            yield f"{where}: {there} and {rest}, expected {wanted} and {small}"
            continue
        if count is None:
            continue
        for place in {0, len(wanted) - 1}:
            group, point = enough[place], block["groups"][place]
            swept = group.kind in ("segment", "category") and count in grid
            once = replace(config, repeats=1) if sizes[group] == count and not swept else config
            mean, sd = point_of(members[group].x, group, count, once, pool)
            yield from numbers(point["mean"], mean, f"{where}[{place}].mean")
            if [value is None for value in sd.values()] != [
                v is None for v in point["sd"].values()
            ]:
                yield f"{where}[{place}].sd: {point['sd']}"


def point_of(
    x: NDArray[np.float64], group: Group, count: int, config: spectra.RunConfig, pool: str
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Mean and sample deviation over repeats of every metric on subsamples of `count` rows."""
    repeats = [
        reference.record(
            x[nested_sample(group, len(x), count, pool, repeat, config.seed)],
            config.chosen.name,
        )
        for repeat in range(config.repeats)
    ]
    mean: dict[str, float | None] = {}
    sd: dict[str, float | None] = {}
    for name in reference.METRICS:
        values = [one[name] for one in repeats if np.isfinite(x).all()]
        defined = bool(values) and None not in values
        mean[name] = float(np.mean(values)) if defined else None
        sd[name] = float(np.std(values, ddof=1)) if defined and len(values) > 1 else None
    return mean, sd


def differences(
    folder: Path,
    states: NDArray[np.float64],
    samples: Sequence[SampleLike],
    config: spectra.RunConfig,
    pool: reference.Pool,
) -> Differences:
    """All differences between one pool's four files and the reference."""
    files = {name: json.loads((folder / f"{name}.json").read_text()) for name in FILES}
    name = config.chosen.name
    drop = config.nonfinite == "drop"
    rows = reference.pooled_rows(
        states, samples, pool, num_bins=config.num_bins, depth=config.depth, drop=drop
    )
    yield from basic_groups(files["basic_metrics"], reference.basic_metrics(rows, name), records)
    yield from depth(files["depth_profile"], reference.depth_profile(rows, name))
    expected = reference.svd_vs_covariance(rows, name)
    yield from basic_groups(files["svd_vs_covariance"], expected, three_routes)
    yield from sweep(files["token_count_sweep"], rows, config, pool)
    yield from matched(files, rows, config, pool)


def check_case(case: cases.Case, config: spectra.RunConfig) -> None:
    """Run an artifact in a temporary directory and compare all layers and pools."""
    with tempfile.TemporaryDirectory() as folder:
        source = case.write(Path(folder) / "in" / "model")
        spectra.run(source, Path(folder) / "out", config)
        found = []
        for layer, states in case.layers.items():
            root = Path(folder) / "out" / "model"
            root = root if layer == case.primary else root / f"layer_{layer}"
            for pool in config.pools:
                differ = differences(root / f"pool_{pool}", states, case.samples, config, pool)
                found += [f"layer {layer}, {pool}: {one}" for one in differ]
        assert not found, "\n".join(found[:20])


@pytest.fixture(scope="module", autouse=True)
def each_spectrum_once() -> Iterator[None]:
    """Several files have a group's spectrum: the reference looks for each once."""
    plain = reference.singular_values
    found: dict[Any, NDArray[np.float64]] = {}

    def known(x: NDArray[np.float64], conv: reference.Convention) -> NDArray[np.float64]:
        key = (x.shape, hashlib.sha256(x.tobytes()).digest(), conv)
        if key not in found:
            found[key] = plain(x, conv)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "singular_values", known)
        yield


# --- random artifacts -----------------------------------------------------------------------------


@settings(max_examples=15)
@given(case=cases.artifacts(), data=st.data())
def test_random_artifacts(case: cases.Case, data: st.DataObject) -> None:
    config = spectra.RunConfig(
        jackknife="off",
        layers="all",
        convention=data.draw(st.sampled_from(["default", *reference.CONVENTIONS])),
        depth=data.draw(st.sampled_from(["step", "token"])),
        num_bins=data.draw(st.sampled_from([1, 4, 10])),
        nonfinite=data.draw(st.sampled_from(["null", "drop"])),
        counts=data.draw(st.sampled_from([(), (2, 3, 17, 40)])),
        repeats=data.draw(st.sampled_from([1, 2])),
        backend="cpu",
    )
    check_case(case, config)


@pytest.mark.parametrize("depth", ["step", "token"])
@pytest.mark.parametrize("nonfinite", ["null", "drop"])
def test_tokens_that_are_not_finite(
    nonfinite: Literal["null", "drop"], depth: Literal["step", "token"]
) -> None:
    config = replace(PLAIN, nonfinite=nonfinite, depth=depth, repeats=1)
    check_case(cases.long_case(cases.not_finite, 400, 17), config)


@pytest.mark.parametrize("make", cases.MAKERS, ids=lambda make: make.__name__)
def test_spectra_long_enough_for_alpha(make: cases.Maker) -> None:
    check_case(cases.long_case(make, 300, 104), replace(PLAIN, pools=("all", "last"), repeats=2))


@pytest.mark.parametrize("convention", reference.CONVENTIONS)
@pytest.mark.parametrize("make", [cases.sloping, cases.large_mean], ids=lambda make: make.__name__)
def test_conventions(make: cases.Maker, convention: str) -> None:
    config = replace(PLAIN, pools=("all", "mean"), convention=convention, repeats=1)
    check_case(cases.long_case(make, 300, 104), config)


@pytest.mark.parametrize("make", [cases.low_rank, cases.duplicated], ids=lambda make: make.__name__)
def test_rounding_noise_of_a_wide_deficient_spectrum_counts_nowhere(make: cases.Maker) -> None:
    """With d >> 200, half of the noise of a Gram matrix is positive: enough to fit an alpha to."""
    config = replace(PLAIN, pools=("all", "mean"), counts=(240,), repeats=1)
    check_case(cases.long_case(make, 500, 300), config)


@pytest.mark.parametrize("rows", [103, 104, 105, 106, 1200])
@pytest.mark.parametrize(
    "make", [cases.sloping, cases.large_mean, cases.massive_row], ids=lambda make: make.__name__
)
def test_as_many_rows_as_dimensions(make: cases.Maker, rows: int) -> None:
    case = cases.long_case(make, rows, 104, seed=rows)
    check_case(case, replace(PLAIN, pools=("all",), repeats=2))


# --- the real artifact ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, spectra.RunConfig]:
    if not REAL.exists():
        pytest.skip("../shared/data is absent, as in any fresh clone")
    out = tmp_path_factory.mktemp("real")
    config = replace(PLAIN, counts=(64, 512), repeats=2)
    spectra.run(REAL, out, config)
    return out / REAL.name, config


@pytest.mark.parametrize("pool", reference.POOLS)
def test_real_artifact(real_run: tuple[Path, spectra.RunConfig], pool: reference.Pool) -> None:
    root, config = real_run
    artifact = open_artifact(REAL)
    with artifact.open_rows(artifact.layer(None)) as reader:
        states = reader.read(0, reader.num_rows).astype(np.float64)
    folder = root / f"pool_{pool}"
    # Two threads of BLAS that wait for one another cost tenfold on a machine that is shared.
    with threadpool_limits(1, "blas"):
        found = list(differences(folder, states, artifact.index.samples, config, pool))
    assert not found, "\n".join(found[:20])
