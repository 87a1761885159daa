"""The exact jackknife: each block left out in turn, by the plain definition."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spectra
from spectra import reference
from spectra.artifacts import Sample, Step, open_artifact, write_artifact
from spectra.categories import load_map
from spectra.engine.memory import Limit
from spectra.errors import UsageError
from spectra.grouping import Group, Steps
from spectra.preparation import _of_one_group
from spectra.record import Record
from spectra.statistics import slope_weights
from tests import reference_cases as cases
from tests.test_uncertainty import CONFIG, UNDRAWN, blocks_of, in_traces

COMPARED = ("rankme", "rankme_sigma", "top_share", "alpha_req")


@pytest.mark.parametrize("problems", [False, True])
def test_each_block_is_left_out_in_turn(tmp_path: Path, problems: bool) -> None:
    case = cases.long_case(cases.sloping, 600, 104)
    src = in_traces(case, problems, tmp_path / "in" / "m")
    config = replace(UNDRAWN, jackknife="exact", pools=("all", "mean"))
    (run,) = spectra.run(src, tmp_path / "out", config)
    (plain,) = spectra.run(src, tmp_path / "plain", replace(config, jackknife="first-order"))
    samples = open_artifact(src).index.samples
    blocks, compared = blocks_of(samples), 0
    for pool in config.pools:
        rows = reference.pooled_rows(case.layers[case.primary], samples, pool, num_bins=3)
        for group, record in run.records[case.primary, pool].items():
            other = plain.records[case.primary, pool][group]
            assert record.rankme == other.rankme
            part = rows.where(group.segment, group.category, group.bin)
            own = np.array([blocks[label.trace] for label in part.labels])
            compared += check(record, other, part.x, own)
    assert compared > 20
    head = json.loads((run.out / "pool_all/basic_metrics.json").read_text())["standard_errors"]
    assert head["method"].startswith("delete-one-block jackknife (Busing")
    assert head["alpha_req"] == "less what a jackknife counts twice"


def check(record: Record, first: Record, x: Any, own: Any) -> int:
    """How many standard errors of the rows x, of these blocks, agree; all do that are defined."""
    assert first.se_first_order is None
    assert first.se_apart is None
    if first.se is None:
        assert record.se is None
        return 0
    assert record.se is not None
    assert record.se_apart is not None
    assert record.se_first_order == first.se
    whole, compared = reference.record(x, "default"), 0
    rest = [reference.record(x[own != b], "default") for b in np.unique(own)]
    for name in COMPARED:
        theta, without = whole[name], [one[name] for one in rest]
        if theta is None or None in without:
            continue
        expected = busing(theta, without, np.unique(own, return_counts=True)[1])
        if name == "alpha_req":  # lessened as the first-order one is
            lessened = first.se[name]
            assert lessened is not None
            expected *= lessened / first_order_alpha(x, own)
        assert record.se[name] == pytest.approx(expected, rel=1e-5), name
        compared += 1
    for name, ours in record.se.items():
        theirs = first.se[name]
        if ours is not None and theirs is not None:
            assert (name in record.se_apart) == (abs(ours - theirs) > 0.1 * max(ours, theirs))
    return compared


def busing(theta: float, without: Any, sizes: Any) -> float:
    """The delete-m_j jackknife's standard error, block by block."""
    n, k = sum(sizes), len(sizes)
    estimate = k * theta - sum((1 - m / n) * x for m, x in zip(sizes, without, strict=True))
    total = 0.0
    for m, x in zip(sizes, without, strict=True):
        h = n / m
        total += (h * theta - (h - 1) * x - estimate) ** 2 / (h - 1)
    return float(np.sqrt(total / k))


def first_order_alpha(x: Any, blocks: Any) -> float:
    """Alpha's plain first-order standard error, from leverages."""
    z = x - x.mean(axis=0)
    u, _, _ = np.linalg.svd(z, full_matrices=False)
    c = slope_weights(11, 100)
    by_row = u[:, 10:100] ** 2 @ c
    names = np.unique(blocks)
    sums = np.array([by_row[blocks == b].sum() for b in names])
    return float(np.sqrt((sums**2).sum() * len(names) / (len(names) - 1)))


def test_it_does_not_depend_on_how_much_fits(tmp_path: Path) -> None:
    case = cases.long_case(cases.sloping, 600, 60)
    src = in_traces(case, False, tmp_path / "in" / "m")
    config = replace(CONFIG, jackknife="exact", pools=("all",))
    (whole,) = spectra.run(src, tmp_path / "a", config)
    # A large group's blocks take 0.26 MB: a lot has a few of them.
    (part,) = spectra.run(src, tmp_path / "b", replace(config, max_memory=2_400_000))
    for group, record in whole.records[case.primary, "all"].items():
        assert part.records[case.primary, "all"][group].se == record.se
    one = 8 * 60 * 60 * (7 + 2)
    steps = Steps.of(open_artifact(src).index.samples, load_map("identity"))
    assert _of_one_group(steps, 60, Limit(1)).host == one
    with pytest.raises(UsageError, match="exact standard errors"):
        spectra.run(src, tmp_path / "c", replace(config, max_memory=one - 1))


def steep(seed: int) -> Any:
    """Six traces of 60 rows whose tail no product of float64 resolves."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.standard_normal((104, 104)))[0]
    rows = (rng.standard_normal((360, 104)) * np.geomspace(1, 1e-9, 104)) @ turned
    return rows.astype(np.float32).astype(np.float64)


def test_what_moments_do_not_resolve_is_left_out_of_rows(tmp_path: Path) -> None:
    x, samples = steep(0), []
    for trace in range(6):
        at = 60 * trace
        step = Step(0, 60, at, at + 60, "thought", "a")
        samples.append(Sample(f"t{trace}", None, at, 60, 0, (step,)))
    src = write_artifact(
        tmp_path / "m",
        model="m",
        layers={1: x.astype(np.float32)},
        samples=samples,
        final_norm=False,
    )
    config = replace(UNDRAWN, jackknife="exact", pools=("all",))
    (run,) = spectra.run(src, tmp_path / "out", config)
    whole = run.records[1, "all"][Group("global")]
    assert whole.method == "svd"
    assert whole.se is not None
    assert whole.se_first_order is not None
    # Its axes come from moments, which show nothing of the ranks that alpha is fitted on.
    assert whole.se_first_order["alpha_req"] is None
    own = np.repeat(np.arange(6), 60)
    rest = [reference.record(x[own != b], "default") for b in range(6)]
    for name in ("alpha_req", "alpha_req_r2", "rankme"):
        values = [one[name] for one in rest]
        expected = busing(reference.record(x, "default")[name] or 0.0, values, np.full(6, 60))
        assert whole.se[name] == pytest.approx(expected, rel=1e-4), name
