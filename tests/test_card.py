"""Cards of datasets: what they say, that hostile text stays text, what they never replace."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from extract.card import check_card, write_card
from extract.card.text import MARKER
from extract.store.errors import ForeignCardError
from spectra.artifacts import Sample, find_artifacts, verify_artifact, write_artifact
from spectra.errors import MissingFileError, NotARegularFileError
from spectra.markdown import WIDTH, escaped, quoted, table
from spectra.printable import printable, shortened
from spectra.strict_json import JSON
from tests.artifact_files import edit, rows, step, write_tiny

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = "a|b\n## c <script>x</script> [d](http://e) `f` \\| &lt; *g* __h__ ~~i~~ \u202e\ud800"


def rendered_rows(text: str) -> list[list[str]]:
    """The rows of all tables, as a reader sees them."""
    lines = re.findall(r"<tr>(.*?)</tr>", MARKDOWN.render(text), re.DOTALL)
    cells = [re.findall(r"<t[dh]>([^<]*)</t[dh]>\n", line) for line in lines]
    assert all(line.count("<") == 2 * len(row) for line, row in zip(lines, cells, strict=True))
    return [[html.unescape(cell) for cell in row] for row in cells]


def front_matter(text: str) -> dict[str, Any]:
    """As the hub reads it."""
    data: dict[str, Any] = vars(DatasetCard(text).data)
    return {key: value for key, value in data.items() if value is not None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The parent of two models, one of them with hostile labels and an odd name."""
    folder = tmp_path / "reprs"
    write_tiny(folder / "tiny")
    labels = [None, HOSTILE, *(f"label {number}" for number in range(45))]
    steps = tuple(step(0, at, at + 1, "thought", label) for at, label in enumerate(labels))
    sample = Sample("s", None, 0, 50, 2, steps)
    fingerprint: JSON = {
        "weights": {"source": "hub", "files": {"x": 1}},
        HOSTILE: [1],
        "rope": None,
    }
    write_artifact(
        folder / "odd|*name*",
        model="<b>owner/model</b>: # \U0001f600",
        layers={0: rows(50)},
        samples=[sample],
        final_norm=True,
        extra={"extraction": {"fingerprint": fingerprint}},
    )
    return folder


def test_it_says_what_is_there(folder: Path) -> None:
    path = write_card(folder / "tiny")
    assert path == folder / "README.md"
    text = path.read_text(encoding="utf-8")
    size = sum(file.stat().st_size for file in (folder / "tiny").glob("*.safetensors"))
    rows = rendered_rows(text)
    for row in (
        ["tiny", "tiny", "2", "8", "bfloat16", "2", "4", "30", f"{size:,}"],
        ["thought", "2", "3", "18"],
        ["solution", "1", "1", "5"],
        ["Deduction", "2", "2", "7"],
        ["(unlabelled)", "1", "1", "11"],
        ["weights.source", "hub"],
        ["rope", "–"],
    ):
        assert row in rows
    assert "Layers: 2, 5 (primary).\n" in text
    assert "Layers: 0 (primary, final norm applied).\n" in text
    assert "… and 7 more." in text
    assert "weights.files.x" not in {row[0] for row in rows}
    assert "How it was made, `config.json` does not say." in text
    for line in ("spectra run hf://datasets/OWNER/NAME", "hf upload OWNER/NAME . --repo-type"):
        assert f"\n{line}" in text


def test_the_hub_reads_its_front_matter(folder: Path) -> None:
    assert front_matter(write_card(folder / "tiny").read_text(encoding="utf-8")) == {
        "pretty_name": "Hidden states of <b>owner/model</b>: # \U0001f600 and 1 more",
        "size_categories": ["n<1K"],
        "tags": ["hidden-states", "interpretability", "reasoning"],
        "viewer": False,
    }


def test_hostile_text_stays_text(folder: Path) -> None:
    text = write_card(folder / "tiny").read_text(encoding="utf-8")
    firsts = [row[0] for row in rendered_rows(text)]
    for shown in (HOSTILE, " ".join(HOSTILE.split())):  # a field of the record, a category
        assert firsts.count(printable(shown)) == 1
    assert rendered_rows(text)[1][:2] == ["odd|*name*", "<b>owner/model</b>: # \U0001f600"]
    page = MARKDOWN.render(text.split("---\n", 2)[2])
    assert not re.search(r"<(script|b|a|em|strong|s)\b", page)
    assert len(re.findall(r"<h1>", page)) == 1


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    shown = shortened(text, WIDTH)
    assert rendered_rows(table(("a", "b"), [(text, 1)])) == [["a", "b"], [shown.strip(), "1"]]
    assert html.unescape(MARKDOWN.render(f"x {escaped(text)} x")) == f"<p>x {shown} x</p>\n"
    assert front_matter(f"---\nx: {quoted(text)}\n---\n").get("x", "") == shortened(text, 80)


def test_labels_that_differ_late_and_paths_are_whole(folder: Path) -> None:
    """And what a card leaves out, it counts."""
    labels = [f"{'a long name ' * 12}{number}" for number in range(2)]
    steps = tuple(step(0, at, at + 1, "thought", label) for at, label in enumerate(labels))
    facts: dict[str, JSON] = {f"fact {number}": number for number in range(41)}
    write_artifact(
        folder / "tiny",
        model="m",
        layers={0: rows(5)},
        samples=[Sample("s", None, 0, 5, 2, steps)],
        final_norm=True,
        extra={"extraction": {"fingerprint": {"path": "/a/path" * 50, **facts}}},
    )
    text = write_card(folder / "tiny").read_text(encoding="utf-8")
    cells = rendered_rows(text)
    assert all([label, "1", "1", "1"] in cells for label in labels)
    assert ["path", "/a/path" * 50] in cells
    assert ["fact 38", "38"] in cells
    assert ["fact 39", "39"] not in cells
    assert "\n… and 2 more in `config.json`.\n" in text


def test_equal_directories_give_equal_bytes(folder: Path) -> None:
    (folder / "unfinished").mkdir()
    first = write_card(folder / "tiny").read_bytes()
    assert write_card(folder / "odd|*name*").read_bytes() == first
    edit(folder / "tiny" / "config.json", lambda config: config.update(model="other"))
    assert write_card(folder / "tiny").read_bytes() != first


def test_it_disturbs_no_reader(folder: Path) -> None:
    before = find_artifacts(folder)
    card = write_card(folder / "tiny")
    assert find_artifacts(folder) == before == (folder / "odd|*name*", folder / "tiny")
    (folder / "tiny" / "README.md").write_bytes(card.read_bytes())
    assert verify_artifact(folder / "tiny").num_steps == 4


@pytest.mark.parametrize("content", [b"# Mine\n", b"", b"\xff\xfe", b"x" * 5000 + MARKER.encode()])
def test_another_readme_is_never_replaced(folder: Path, content: bytes) -> None:
    path = folder / "README.md"
    path.write_bytes(content)
    for call in (check_card, write_card):
        with pytest.raises(ForeignCardError, match="was not written as a card, or is kept by its"):
            call(folder / "tiny")
    assert path.read_bytes() == content


def test_a_card_without_its_marker_is_its_owners(folder: Path) -> None:
    path = write_card(folder / "tiny")
    check_card(folder / "tiny")
    kept = path.read_text(encoding="utf-8").replace(MARKER, "license: mine")
    path.write_text(kept, encoding="utf-8")
    with pytest.raises(ForeignCardError, match="It stays as it is"):
        write_card(folder / "tiny")
    assert path.read_text(encoding="utf-8") == kept


def test_something_else_of_that_name(folder: Path) -> None:
    path = folder / "README.md"
    path.mkdir()
    with pytest.raises(NotARegularFileError):
        check_card(folder / "tiny")
    path.rmdir()
    path.symlink_to(folder / "absent")
    with pytest.raises(MissingFileError):
        check_card(folder / "tiny")


def test_a_broken_directory_beside_is_told_before_any_work(folder: Path) -> None:
    check_card(folder / "new")
    (folder / "tiny" / "index.json").unlink()
    with pytest.raises(MissingFileError, match=r"index\.json"):
        check_card(folder / "new")
    check_card(folder / "tiny")
    check_card(folder.parent / "elsewhere" / "new")
