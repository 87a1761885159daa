"""From directories to files: where results go, how categories are capped, what is written."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import spectra
from spectra.artifacts import Sample, Step, write_artifact
from spectra.errors import InputError, UsageError
from spectra.grouping import Group
from spectra.left_out import locator
from tests.cli_runs import end
from tests.synthetic import write_synthetic

CONFIG = spectra.RunConfig(backend="cpu", pools=("all",), counts=(4,), repeats=1, num_bins=1)
DIM = 6


def write(path: Path, labels: Sequence[str | None], *, tokens: int = 3, bad: int = -1) -> Path:
    """One trace with a step a label, after one token that belongs to no step."""
    steps = tuple(
        Step(
            1 + k * tokens, 1 + (k + 1) * tokens, 1 + k * tokens, 1 + (k + 1) * tokens, None, label
        )
        for k, label in enumerate(labels)
    )
    total = 1 + len(labels) * tokens
    states = np.random.default_rng(0).standard_normal((total, DIM)).astype(ml_dtypes.bfloat16)
    if bad >= 0:
        states[bad, 1] = np.nan
    sample = Sample("s", None, 0, total, 1, steps)
    write_artifact(path, model=path.name, layers={1: states}, samples=[sample], final_norm=None)
    return path


def test_links_keep_their_own_names(tmp_path: Path) -> None:
    for store, labels in (("x", "a"), ("y", "b")):
        write(tmp_path / store / "snapshot", labels)
        (tmp_path / "parent").mkdir(exist_ok=True)
        link = tmp_path / "parent" / f"model-{store}"
        link.symlink_to(tmp_path / store / "snapshot")
    runs = spectra.run(tmp_path / "parent", tmp_path / "out", CONFIG)
    assert [run.out.name for run in runs] == ["model-x", "model-y"]
    assert all((run.out / "run.json").exists() for run in runs)


def test_no_result_lies_in_any_model(tmp_path: Path) -> None:
    write(tmp_path / "models/a", "a")
    write(tmp_path / "models/b", "b")
    with pytest.raises(InputError, match="lies in the input"):
        spectra.run(tmp_path / "models", tmp_path / "models/b", CONFIG)
    assert not (tmp_path / "models/b/a").exists()


@pytest.mark.parametrize(
    ("labels", "cap", "expected"),
    [
        (["Plan"] * 12 + ["Read"] * 8 + ["plan", "zz"], 3, {"Plan": 12, "Read": 8, "(other)": 2}),
        (["A"] * 8 + ["B"] * 6 + [None, "C"], 2, {"A": 8, "(other)": 8}),
        (["A", None], 1, {"(other)": 2}),
        (["(other)"] * 3 + ["A", "B"], 2, {"(other)": 3, "((other))": 2}),
        (["A", "B"], 2, {"A": 1, "B": 1}),
    ],
)
def test_categories_beyond_the_cap_are_merged_and_counted(
    tmp_path: Path, labels: list[str | None], cap: int, expected: dict[str, int]
) -> None:
    src = write(tmp_path / "m", labels)
    (run,) = spectra.run(src, tmp_path / "out", replace(CONFIG, max_categories=cap))
    records = run.records[1, "all"]
    found = {g.category: records[g].num_steps for g in records if g.kind == "category"}
    assert found == expected
    merged = len(set(labels)) - (len(expected) - 1)
    said = [text for text in run.warnings if "--max-categories" in text]
    assert bool(said) == (len(set(labels)) > cap)
    assert all(f"the {merged} with the fewest tokens" in text for text in said)


def test_run_json_names_every_file_by_its_hash_and_says_where_options_came_from(
    tmp_path: Path,
) -> None:
    config = replace(CONFIG, pools=spectra.RunConfig().pools, repeats=5, seed=3)
    src, sources = write(tmp_path / "m", "aab"), {"seed": "given"}
    (run,) = spectra.run(src, tmp_path / "o", config, sources=sources)
    document = json.loads((run.out / "run.json").read_text())
    found = {
        path.relative_to(run.out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.out.rglob("*")
        if path.is_file() and path.name != "run.json"
    }
    assert document["outputs"] == found
    assert len(found) == 17
    assert document["options"]["seed"] == {"value": 3, "source": "given"}
    assert document["options"]["repeats"] == {"value": 5, "source": "default"}
    assert set(document["versions"]) >= {
        "spectra",
        "jax",
        "jaxlib",
        "numpy",
        "safetensors",
        "python",
    }
    assert document["input"]["files"]["config.json"]["sha256"]


def test_a_smaller_run_takes_its_stale_files_away_and_no_others(tmp_path: Path) -> None:
    src = write(tmp_path / "m", "aab")
    spectra.run(src, tmp_path / "o", replace(CONFIG, pools=("all", "mean")))
    (tmp_path / "o/m/pool_mean/notes.txt").write_text("mine")
    spectra.run(src, tmp_path / "o", CONFIG)
    left = {p.relative_to(tmp_path / "o/m").as_posix() for p in (tmp_path / "o").rglob("*.*")}
    assert {name for name in left if name.startswith("pool_mean")} == {"pool_mean/notes.txt"}


def test_the_table_has_every_number_and_is_utf8_whatever_the_labels(tmp_path: Path) -> None:
    src = write(tmp_path / "m", ["\ud800x", "=1+1", "a,b", "line\nbreak"])
    (run,) = spectra.run(src, tmp_path / "o", CONFIG)
    with open(run.out / "metrics.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["category"] for row in rows} == {"", "\\ud800x", "'=1+1", "a,b", "line break"}
    (whole,) = (
        r
        for r in rows
        if r["file"] == "basic_metrics.json"
        and (r["group_kind"], r["metric"]) == ("global", "rankme")
    )
    record = run.records[1, "all"][Group("global")]
    assert float(whole["value"]) == record.rankme
    assert int(whole["num_rows"]) == record.num_rows


def test_a_bad_token_outside_every_step_concerns_nobody(tmp_path: Path) -> None:
    src = write(tmp_path / "m", "aab", bad=0)
    for nonfinite in ("null", "drop", "error"):
        (run,) = spectra.run(src, tmp_path / "o", replace(CONFIG, nonfinite=nonfinite))
        assert run.records[1, "all"][Group("global")].num_rows == 9
        assert run.records[1, "all"][Group("global")].status == "short_spectrum"
        assert not [text for text in run.warnings if "NaN" in text]


def test_a_bad_token_is_named(tmp_path: Path) -> None:
    src = write(tmp_path / "m", "aab", bad=4)
    with pytest.raises(InputError, match=r"sample 's', token 4 \(row 4\): .* --nonfinite drop"):
        spectra.run(src, tmp_path / "o", replace(CONFIG, nonfinite="error"))
    (run,) = spectra.run(src, tmp_path / "o", CONFIG)
    record = run.records[1, "all"][Group("global")]
    assert (record.status, record.rankme) == ("nonfinite", None)
    assert record.reason == (
        "1 of 9 rows hold NaN or infinity, the first at sample 's', token 4 (row 4)"
    )
    assert run.records[1, "all"][Group("category", None, "b")].rankme is not None


def test_a_bad_token_counts_whichever_pools_would_have_used_it(tmp_path: Path) -> None:
    src = write(tmp_path / "m", "aab", bad=5)  # in the middle of a step: neither first nor last
    config = replace(CONFIG, pools=("first",), nonfinite="error")
    with pytest.raises(InputError, match=r"token 5 \(row 5\)"):
        spectra.run(src, tmp_path / "o", config)
    (run,) = spectra.run(src, tmp_path / "o", replace(config, nonfinite="null"))
    assert run.records[1, "first"][Group("global")].rankme is not None


def test_every_bad_token_behind_a_mean_is_counted(tmp_path: Path) -> None:
    src = write(tmp_path / "m", "ab", tokens=4)
    (shard,) = src.glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    first = len(data) - 9 * DIM * 2
    for row in (2, 3, 4):
        data[first + row * DIM * 2 : first + row * DIM * 2 + 2] = b"\xc0\x7f"  # NaN in bfloat16
    shard.write_bytes(data)
    (run,) = spectra.run(src, tmp_path / "o", replace(CONFIG, pools=("mean",)))
    (told,) = (text for text in run.warnings if "NaN" in text)
    assert "3 token rows hold NaN or infinity" in told
    assert "token 2 (row 2)" in told


def test_an_empty_sample_is_never_named_as_the_place_of_a_row() -> None:
    samples = [Sample("full", None, 0, 5, 0, ()), Sample("empty", None, 0, 0, 0, ())]
    assert locator(samples)(3) == "sample 'full', token 3 (row 3)"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_bins": 0}, "num_bins is 0"),
        ({"num_bins": 1001}, "Expected at most 1000"),
        ({"repeats": 10**12}, "Expected at most 10000"),
        ({"pools": ("all", "all")}, "each once"),
        ({"pools": ("every",)}, "Expected one of: all, mean, first, last"),
        ({"layers": (1, 1)}, "Expected each layer once"),
        ({"counts": (8, 4)}, "Expected increasing whole numbers"),
        ({"depth": "trace"}, "Expected one of: step, token"),
        ({"nonfinite": "keep"}, "Expected one of: null, drop, error"),
        ({"convention": "rank_me"}, "Expected one of: default"),
    ],
)
def test_wrong_options_say_what_is_expected(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        spectra.RunConfig(**options)  # type: ignore[arg-type]


def test_sigterm_ends_with_143_and_leaves_nothing(tmp_path: Path) -> None:
    src, out = write_synthetic(tmp_path / "m"), tmp_path / "o"
    options = ["run", str(src), "--out", str(out), "--repeats", "2000"]  # minutes of work
    with subprocess.Popen(
        [sys.executable, "-m", "spectra.cli", *options],
        env={**os.environ, "PYTHONPATH": str(Path(spectra.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not (out / "m" / "run.lock").exists() and process.poll() is None:
                time.sleep(0.05)
            time.sleep(2)
            end(process, signal.SIGTERM)
        finally:
            process.kill()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 143
    assert errors.endswith("Stopped by SIGTERM.\n")
    assert not out.exists()
