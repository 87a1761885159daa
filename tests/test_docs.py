"""The documentation: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import spectra
from spectra.report.values import t_quantile
from spectra.statistics import PRESETS
from tests import docs_run
from tests.cli_runs import COMMANDS
from tests.imports import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
OTHERS = {
    "--array": "sbatch",
    "--command": "gcloud",
    "--ntasks-per-node": "srun",
    "--dependency": "sbatch",
    "--no-deps": "pip",
    "--parsable": "sbatch",
    "--repo-type": "hf",
    "--requeue": "sbatch",
    "--upgrade": "uv",
    "--worker": "gcloud",
    "--wrap": "sbatch",
    "--xla": "XLA_FLAGS",
}
"""Options in the pages that are of other programs."""

PERFORMANCE = "docs/performance.md"

COMMANDS_SHOWN = [
    (page, command)
    for page, text in PAGES.items()
    for block in docs_run.blocks(text)
    if block.language == "console"
    for command, _ in docs_run.commands(block)
    if command.startswith("spectra ")
]


@pytest.mark.parametrize("page", ["docs/tutorial.md", "docs/choosing.md", "docs/traces.md"])
def test_blocks_run_in_order_and_print_what_the_page_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for block, printed, shown in docs_run.run(PAGES[page], page):
        assert printed == shown, block
        ran += 1
    assert ran


def test_blocks_of_other_pages_are_only_signatures_and_the_snippet_that_has_its_test() -> None:
    with_python = {
        page
        for page, text in PAGES.items()
        if any(block.language == "python" for block in docs_run.blocks(text))
    }
    run = {"docs/tutorial.md", "docs/choosing.md", "docs/traces.md"}
    assert with_python == {"README.md", "docs/api.md"} | run


def test_code_for_other_packages_calls_what_there_is() -> None:
    """Ray's and Dask's recipes, which are not installed here."""
    recipes = [b.text for b in docs_run.blocks(PAGES["docs/scaling.md"]) if b.language == "py"]
    assert len(recipes) == 2
    for text in recipes:
        called = [
            node.attr
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "spectra"
        ]
        assert sorted(called) == ["merge", "run_part"]
        assert all(callable(getattr(spectra, name)) for name in called)


def options_of(name: str) -> set[str]:
    command = COMMANDS[name]
    found = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    return found | {"--help", "-h"}


@pytest.mark.parametrize(("page", "command"), COMMANDS_SHOWN)
def test_commands_parse(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    if "..." in words:  # an abridged one: the options alone
        name = words[0]
        assert {word for word in words if word.startswith("--")} <= options_of(name), page
        return
    if "--config" in words:  # which would be read at once
        place = words.index("--config")
        assert "--config" in options_of(words[0])
        del words[place : place + 2]
    depth = max(d for d in range(1, len(words) + 1) if " ".join(words[:d]) in COMMANDS)
    name = " ".join(words[:depth])
    COMMANDS[name].make_context(name, words[depth:])  # raises where they do not parse


def test_some_commands_are_shown() -> None:
    assert len(COMMANDS_SHOWN) > 10


@pytest.mark.parametrize("page", PAGES)
def test_options_in_running_text_exist(page: str) -> None:
    known = set().union(*map(options_of, COMMANDS)) | set(OTHERS)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGES[page]))
    assert named <= known


def test_options_of_other_programs_are_in_use() -> None:
    assert all(any(option in text for text in PAGES.values()) for option in OTHERS)


def slug(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: str) -> set[str]:
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", re.sub(docs_run.FENCE, "", page), re.MULTILINE):
        one = slug(heading)
        found.append(f"{one}-{found.count(one)}" if one in found else one)
    return set(found)


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files_and_headings(page: str) -> None:
    for target in re.findall(r"\]\(([^()\s]+)\)", PAGES[page]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def test_every_page_is_linked_from_the_readme() -> None:
    for page in PAGES:
        if page.startswith("docs/"):
            assert f"]({page})" in PAGES["README.md"], page


def test_alphas_least_number_of_rows_is_told_in_one_way() -> None:
    ranks = PRESETS["default"].alpha_ranks
    assert ranks is not None
    rows = np.random.default_rng(0).standard_normal((ranks[1] + 1, ranks[1]))
    assert spectra.metrics(rows).alpha_req is not None
    assert spectra.metrics(rows[1:]).status == "short_spectrum"
    assert spectra.metrics(rows[:, 1:]).status == "short_spectrum"
    pages = ("README.md", *(f"docs/{name}.md" for name in ("statistics", "choosing")))
    for page in (*pages, "docs/troubleshooting.md"):
        assert f"at least {len(rows)}" in PAGES[page], page


JOBS = {
    "real": ("576", "smollm2-135m-instruct"),
    "57,600 rows, d = 576": ("576", "d576"),
    "57,600 rows, d = 1024": ("1024", "d1024"),
    "57,600 rows, d = 2048": ("2048", "d2048"),
}
"""Rows of the table of whole jobs: how each begins, and its results."""


@pytest.mark.parametrize("begins", JOBS)
def test_times_of_whole_jobs_are_those_in_the_results(begins: str) -> None:
    dim, artifact = JOBS[begins]
    file = ROOT / "bench" / "results" / f"end_to_end_{dim}-cpu-2core.json"
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    (jobs,) = (cell["jobs"] for cell in cells if cell["artifact"] == artifact)
    ours = jobs["spectra"]
    told = [f"{ours['seconds'][0]:.1f} s", f"{ours['peak_bytes'] / 1e6:,.0f} MB"]
    for peer in ("numpy", "torch", "reptrix"):
        told.append(f"{jobs[peer]['time_over_ours']:.1f}×" if peer in jobs else "not run")
    table = PAGES[PERFORMANCE].split("## The whole job on a CPU")[1].split("\n## ")[0]
    (line,) = re.findall(rf"^\| {re.escape(begins)}\b[^|]*\|(.+)\|$", table, re.M)
    assert [cell.strip() for cell in line.split("|")] == told


def test_the_readme_tells_of_speed_what_the_performance_page_has() -> None:
    told = PAGES["README.md"].split("## Accuracy and speed")[1].split("\n## ")[0]
    for figure in ("15,043", "4.9 s", "2e-14"):
        assert figure in told
        assert figure in PAGES[PERFORMANCE]


def test_factors_of_intervals_are_those_of_students_t() -> None:
    (counts, factors) = re.search(
        r"\| traces or problems \|(.+)\|\n\|[- |]+\|\n\| 95 % interval: value ± \|(.+)\|",
        PAGES["docs/choosing.md"],
    ).groups()  # type: ignore[union-attr]  # a page without the table fails here
    for count, factor in zip(counts.split("|"), factors.split("|"), strict=True):
        assert f"{t_quantile(int(count)):.2f} se" == factor.strip()
