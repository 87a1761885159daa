"""Standard errors in the files are those of the plain definition, and say what they claim."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import spectra
from spectra import reference
from spectra.artifacts import Sample, Step, open_artifact, write_artifact
from spectra.grouping import Group
from spectra.sampling import nested_sample

from . import reference_cases as cases

CONFIG = spectra.RunConfig(backend="cpu", repeats=2, num_bins=3)
UNDRAWN = replace(CONFIG, counts=(64,), repeats=1, matched=False, diagnostics=False)
"""Where draws are not looked at."""

SE = 1e-6
"""Central differences leave 1e-9 of a derivative; alpha's correction takes medians, and is rounded
to a hundredth of alpha."""


def blocks_of(samples: tuple[Sample, ...]) -> list[int]:
    """A number for each trace: that of its problem, or its own."""
    names = [sample.problem_id or f"trace {i}" for i, sample in enumerate(samples)]
    return [names.index(name) for name in names]


def differ(found: Any, x: Any, blocks: list[int], convention: str, where: str) -> Iterator[str]:
    """What is wrong with the standard errors of rows x of these blocks."""
    expected = reference.standard_errors(x, blocks, convention)
    if found is None or expected is None:
        if found is not expected:
            yield f"{where}: {found}, expected {expected}"
        return
    for name, value in expected.items():
        close = value is not None and found[name] == pytest.approx(value, rel=SE, abs=1e-12)
        if not close and found[name] is not value:
            yield f"{where}.{name}: {found[name]!r}, expected {value!r}"


def in_traces(case: cases.Case, problems: bool, path: Path) -> Path:
    """The case's one trace written as seven; with problems, two traces each have one."""
    (sample,) = case.samples
    steps, samples, offset = list(sample.steps), [], 0
    for number in range(7):
        own, steps = steps[: len(sample.steps) // 7], steps[len(sample.steps) // 7 :]
        own = own + steps if number == 6 else own
        length = own[-1].global_end - offset
        made = tuple(
            Step(
                *(s.global_start - offset, s.global_end - offset, s.global_start, s.global_end),
                *(s.segment, s.category),
            )
            for s in own
        )
        problem = f"p{number // 2}" if problems else None
        samples.append(Sample(f"s{number}", problem, offset, length, 0, made))
        offset += length
    layers = {index: states.astype(ml_dtypes.bfloat16) for index, states in case.layers.items()}
    return write_artifact(path, model="m", layers=layers, samples=samples, final_norm=False)


@pytest.mark.parametrize(
    ("make", "convention", "problems"),
    [
        (cases.sloping, "default", False),
        (cases.large_mean, "default", True),
        (cases.sloping, "rankme2023", False),
        (cases.sloping, "fastssl", True),
        (cases.sloping, "reptrix", False),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_standard_errors_are_those_of_the_plain_definition(
    tmp_path: Path, make: cases.Maker, convention: str, problems: bool
) -> None:
    case = cases.long_case(make, 400, 104)
    src = in_traces(case, problems, tmp_path / "in" / "m")
    config = replace(UNDRAWN, convention=convention)
    spectra.run(src, tmp_path / "out", config)
    samples = open_artifact(src).index.samples
    blocks, found = blocks_of(samples), list[str]()
    for pool in reference.POOLS:
        folder = tmp_path / "out" / "m" / f"pool_{pool}"
        rows = reference.pooled_rows(
            case.layers[case.primary], samples, pool, num_bins=config.num_bins
        )

        def check(record: Any, part: reference.Rows, where: str) -> None:
            own = [blocks[label.trace] for label in part.labels]
            found.extend(differ(record["se"], part.x, own, convention, where))
            assert record["num_blocks"] == len(set(own)), where

        basic = json.loads((folder / "basic_metrics.json").read_text())
        check(basic["global"], rows, f"{pool}.global")
        for name, record in basic["categories"].items():
            check(record, rows.where(None, name), f"{pool}.{name}")
        depth = json.loads((folder / "depth_profile.json").read_text())
        for b, record in enumerate(depth["bins"]):
            check(record, rows.where(None, None, b), f"{pool}.bin{b}")
        assert basic["standard_errors"]["unit"] == ("problem" if problems else "trace")
        assert basic["standard_errors"]["blocks"] == len(set(blocks))
    assert not found, "\n".join(found[:20])


def test_a_curves_standard_error_is_of_the_mean_over_its_subsamples(tmp_path: Path) -> None:
    case = cases.long_case(cases.sloping, 400, 104)
    src = in_traces(case, False, tmp_path / "in" / "m")
    spectra.run(src, tmp_path / "out", replace(CONFIG, pools=("all",)))
    samples = open_artifact(src).index.samples
    rows = reference.pooled_rows(case.layers[case.primary], samples, "all")
    sweep = json.loads((tmp_path / "out/m/pool_all/token_count_sweep.json").read_text())
    own = [label.trace for label in rows.labels]
    for point in sweep["curves"]["global"]:
        total = np.zeros(7)
        for repeat in range(CONFIG.repeats):
            pick = nested_sample(
                Group("global"), len(own), point["count"], "all", repeat, CONFIG.seed
            )
            total += carried(rows.x[pick], [own[i] for i in pick], 7) / CONFIG.repeats
        expected = np.sqrt((total**2).sum() * 7 / 6)
        assert point["se"]["rankme"] == pytest.approx(expected, rel=SE), point["count"]


def carried(x: Any, block: list[int], count: int) -> Any:
    """d rankme / d weight of each block, by central differences of a weighted covariance."""
    out, step = np.zeros(count), 1e-4
    for b in range(count):
        ends = []
        for sign in (1.0, -1.0):
            w = np.where(np.array(block) == b, 1.0 + sign * step, 1.0)
            y = np.sqrt(w)[:, None] * (x - np.average(x, axis=0, weights=w))
            values = np.linalg.svd(y, compute_uv=False)[: len(x) - 1] ** 2
            ends.append(reference.effective_rank(values))
        out[b] = (ends[0] - ends[1]) / (2 * step)
    return out


def test_blocks_of_an_array_give_what_a_run_gives(tmp_path: Path) -> None:
    case = cases.long_case(cases.sloping, 400, 104)
    src = in_traces(case, False, tmp_path / "in" / "m")
    (run,) = spectra.run(src, tmp_path / "out", replace(UNDRAWN, pools=("all",)))
    rows = reference.pooled_rows(case.layers[case.primary], open_artifact(src).index.samples, "all")
    for group, part in (
        (Group("global"), rows),
        (Group("category", None, "Deduction"), rows.where(None, "Deduction")),
    ):
        assert part.labels
        record = run.records[1, "all"][group]
        blocks = [f"trace {label.trace}" for label in part.labels]
        found = spectra.metrics(part.x, blocks=blocks)
        assert found.num_blocks == record.num_blocks
        assert found.se is not None
        assert found.se == pytest.approx(record.se, rel=1e-9)
        if len(part.x) < len(rows.x):  # one shape to compile
            ours = spectra.metrics(jnp.asarray(part.x), blocks=blocks).se
            assert ours == pytest.approx(found.se, rel=1e-6)


def test_blocks_that_cannot_be_used_are_refused() -> None:
    x = np.random.default_rng(0).standard_normal((6, 4))
    with pytest.raises(ValueError, match="one a row"):
        spectra.metrics(x, blocks=[1, 2])
    with pytest.raises(ValueError, match="moments give no standard errors"):
        spectra.metrics(spectra.Moments.of(x), blocks=[0] * 6)
    with pytest.raises(ValueError, match="'differank' give no standard errors"):
        spectra.metrics(x, "differank", blocks=[0] * 6)
    alone = spectra.metrics(x, blocks=[0] * 6)
    assert (alone.se, alone.num_blocks) == (None, 1)
    constant = spectra.metrics(np.ones((6, 4)), blocks=range(6))
    assert (constant.se, constant.num_blocks, constant.status) == (None, 6, "degenerate")


def test_influences_are_what_traces_add(tmp_path: Path) -> None:
    case = cases.long_case(cases.sloping, 400, 60)
    src = in_traces(case, True, tmp_path / "in" / "m")
    config = replace(UNDRAWN, influences=True, pools=("all", "first"), diagnostics=True)
    (run,) = spectra.run(src, tmp_path / "out", config)
    with (run.out / "trace_influences.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    rows = reference.pooled_rows(case.layers[case.primary], open_artifact(src).index.samples, "all")
    own = [label.trace for label in rows.labels]
    whole = [line for line in table if (line["pool"], line["group_kind"]) == ("all", "global")]
    assert [(line["sample_id"], line["problem_id"]) for line in whole] == [
        (f"s{trace}", f"p{trace // 2}") for trace in range(7)
    ]
    assert [int(line["num_rows"]) for line in whole] == np.bincount(own).tolist()
    expected = carried(rows.x, own, 7)
    np.testing.assert_allclose(
        [float(line["rankme"]) for line in whole], expected, rtol=1e-5, atol=1e-8
    )
    assert {line["alpha_req"] for line in whole} == {""}
    strongest = sorted(whole, key=lambda line: -abs(float(line["rankme"])))[:5]
    diagnostics = run.records[1, "all"][Group("global")].diagnostics
    assert diagnostics is not None
    assert [
        (one["sample_id"], str(one["num_rows"]), repr(one["rankme"]))
        for one in diagnostics["influential_traces"]
    ] == [(line["sample_id"], line["num_rows"], line["rankme"]) for line in strongest]
    for line in table:
        group = Group(line["group_kind"], line["segment"] or None, line["category"] or None)
        assert run.records[1, line["pool"]][group].se is not None
    spectra.run(src, tmp_path / "out", replace(config, influences=False))
    assert not (run.out / "trace_influences.csv").exists()
    with pytest.raises(spectra.errors.UsageError, match="come with standard errors"):
        replace(config, jackknife="off")
