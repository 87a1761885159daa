"""`spectra table`: filters, files that read back, and text that shows every label."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

import spectra
from tests.artifact_files import write_tiny
from tests.cli_runs import call

HOSTILE = 'a|b_$%&#{}~^\\ <i> "é" [x] ± 中 \u202e'


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models of one directory name, in two parents, with a hostile label."""
    root = tmp_path_factory.mktemp("tables")
    for number, parent in enumerate(("one", "two")):
        source = write_tiny(root / "in" / parent / "tiny")
        index = (source / "index.json").read_text()
        label = json.dumps(HOSTILE)[1:-1]
        (source / "index.json").write_text(index.replace("Deduction", label))
        config = spectra.RunConfig(counts=(4,), repeats=2, num_bins=2, seed=number)
        spectra.run(source, root / parent, config)
    return root


def test_parquet_and_csv_hold_what_was_asked_for(out: Path, tmp_path: Path) -> None:
    conditions = ("--where", "group_kind=segment", "--where", "segment=thought", "--pool", "mean")
    for name in ("t.parquet", "t.csv"):
        result = call("table", out / "one", "-o", tmp_path / name, *conditions)
        assert result.exit_code == 0, result.output
    frame = pl.read_parquet(tmp_path / "t.parquet")
    whole = spectra.load(out / "one").frame()
    kept = whole.filter(
        (pl.col("group_kind") == "segment")
        & (pl.col("segment") == "thought")
        & (pl.col("pool") == "mean")
    )
    assert len(kept) > 10
    assert frame.equals(kept)
    with (
        (tmp_path / "t.csv").open(newline="") as file,
        (out / "one" / "tiny" / "metrics.csv").open(newline="") as every,
    ):
        rows, lines = list(csv.DictReader(file)), list(csv.DictReader(every))
    assert {row.pop("run") for row in rows} == {"tiny"}
    assert rows == [
        line
        for line in lines
        if (line["group_kind"], line["segment"], line["pool"]) == ("segment", "thought", "mean")
    ]


def test_values_of_one_column_add_up_and_none_is_an_empty_one(out: Path, tmp_path: Path) -> None:
    pools = ("--where", "pool=mean", "--where", "pool=last", "--where", "route=")
    call("table", out / "one", "-o", tmp_path / "t.parquet", *pools)
    frame = pl.read_parquet(tmp_path / "t.parquet")
    assert set(frame["pool"]) == {"mean", "last"}
    assert set(frame["route"]) == {None}


def test_models_of_one_name_are_told_apart(out: Path, tmp_path: Path) -> None:
    from spectra.results import load_all

    results = load_all([out / "one", out / "two", out / "one" / "tiny"])
    assert list(results) == ["one/tiny", "two/tiny"]
    assert call("table", out / "one", out / "two", "-o", tmp_path / "t.parquet").exit_code == 0
    frame = pl.read_parquet(tmp_path / "t.parquet")
    assert set(frame["run"]) == {"one/tiny", "two/tiny"}
    once = call("table", out / "one", "--pool", "all").stdout.splitlines()
    both = call("table", out / "one", out / "two", "--pool", "all").stdout.splitlines()
    assert len(both) - 2 == 2 * (len(once) - 2)  # a line for each, beside heading and rule


def test_groups_at_matched_counts(out: Path, tmp_path: Path) -> None:
    refused = call("table", out / "one", "--matched")
    assert refused.exit_code == 2
    assert "No groups were compared at matched counts" in refused.stderr
    config = spectra.RunConfig(pools=("all",), counts=(32,), repeats=2, jackknife="off")
    spectra.run(Path(spectra.__file__).parent / "embedded", tmp_path, config)
    lines = call("table", tmp_path, "--matched", "--where", "group_kind=segment").stdout
    pool = spectra.load(tmp_path)["smollm2-135m-instruct"].pool()
    matched = pool.basic["matched"]["segments"]
    assert [line.split("|")[-4].strip() for line in lines.splitlines()[2:]] == [
        f"{group['mean']['rankme']:.2f}" for group in matched["groups"]
    ]
    assert f"| {matched['count']:,} |" in lines


@pytest.mark.parametrize("kind", ["bin", "segment_bin"])
def test_depth_bins_are_shown_where_they_are_asked_for(out: Path, kind: str) -> None:
    lines = call("table", out / "one", "--where", f"group_kind={kind}", "--pool", "all").stdout
    pool = spectra.load(out / "one")["tiny"].pool()
    record = pool.record(bin=1, segment="thought" if kind == "segment_bin" else None)
    assert f"{record.rankme:.2f}" in lines


def test_markdown_on_stdout_is_one_table(out: Path) -> None:
    result = call("table", out / "one", "--metrics", "alpha_req,rankme", "--pool", "all")
    lines = result.output.splitlines()
    assert lines[0] == r"| segment | category | num\_rows | alpha\_req | rankme |"
    record = spectra.load(out / "one")["tiny"].pool().record()
    assert lines[2] == f"|  |  | 23 | – | {record.rankme:.2f} |"
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in lines)
    assert "<i>" not in result.output.replace(r"\<", "")


def test_latex_compiles_and_shows_every_label(out: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    assert call("table", out / "one", "-o", tmp_path / "t.tex").exit_code == 0
    packages = (tmp_path / "t.tex").read_text().splitlines()[0].removeprefix("% ")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage[landscape,margin=1cm]{geometry}\n" + packages
        + "\n\\begin{document}\\footnotesize\n\\input{t}\n\\end{document}\n"
    )  # fmt: skip
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    text = subprocess.run(
        ["pdftotext", "-layout", "paper.pdf", "-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    record = spectra.load(out / "one")["tiny"].pool().record(segment="thought")
    assert f"{record.rankme:.2f}" in text
    assert "a|b_$%&#{}" in text
    assert "[U+4E2D]" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--where", "metrc=a"), "Did you mean metric?"),
     (("--where", "metric"), "expected COLUMN=VALUE"),
     (("--where", "pool=meen"), "Expected one of 'all', 'first', 'last', 'mean'"),
     (("--metrics", "rank"), "Expected some of alpha_req"),
     (("-o", "t.xlsx"), "expected a name that ends in one of .parquet, .csv, .md, .tex")],
)  # fmt: skip
def test_what_cannot_be_met(out: Path, arguments: tuple[str, ...], said: str) -> None:
    result = call("table", out / "one", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
