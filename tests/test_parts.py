"""A run in parts gives what the run at once gives, whatever was cut, killed or written first."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spectra
from spectra.artifacts import RowReader
from spectra.backend import select_backend
from spectra.engine.source import Streamed
from spectra.errors import (
    OutputError,
    PartFormatError,
    PartMismatchError,
    PartsMissingError,
    UsageError,
)
from spectra.parts import Part, collect, identity
from spectra.preparation import prepare
from spectra.statistics import convention
from tests.cli_runs import SMALL, call, files_under
from tests.part_cases import CONFIG, LAYERS, unlike, write, written
from tests.tolerances import ROUNDING

LENGTHS = [40, 61, 3, 0, 90, 17]
BAD = (55, 101, 102, 160)
QUICK = replace(CONFIG, layers=(1,), pools=("all", "mean"), jackknife="off", diagnostics=False)


def cut(src: Path, out: Path, of: int, config: spectra.RunConfig = CONFIG, first: int = 0) -> Path:
    """All parts, from the `first` one on and around."""
    for number in range(of):
        spectra.run_part(src, out, f"{(number + first) % of}/{of}", config)
    return out


@pytest.fixture(scope="module")
def src(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("states") / "cut", LENGTHS)


@pytest.fixture(scope="module")
def plain(src: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain")
    spectra.run(src, out, CONFIG)
    return out / "cut"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "cut", [30, 25])


@pytest.mark.parametrize("of", [1, 3, 7])
def test_the_parts_give_what_the_run_gives(src: Path, plain: Path, tmp_path: Path, of: int) -> None:
    cut(src, tmp_path, of, first=of // 2)
    (run,) = spectra.merge(src, tmp_path)
    assert unlike(plain, run.out, ROUNDING.relative) == []
    record, whole = (json.loads((out / "run.json").read_text()) for out in (run.out, plain))
    assert record.pop("parts") == of
    assert record.keys() == whole.keys()
    assert (record["options"], record["input"]) == (whole["options"], whole["input"])
    assert record["warnings"] == whole["warnings"]


def test_bad_rows_are_found_in_whichever_part(tmp_path: Path) -> None:
    src = write(tmp_path / "cut", LENGTHS, bad=BAD)
    config = replace(CONFIG, layers=(1,))
    (whole,) = spectra.run(src, tmp_path / "plain", config)
    cut(src, tmp_path / "parts", 3, config)
    (run,) = spectra.merge(src, tmp_path / "parts")
    assert unlike(whole.out, run.out, ROUNDING.relative) == []
    assert any("token rows hold NaN" in text for text in run.warnings)
    assert run.warnings == whole.warnings


def test_the_order_of_writing_leaves_no_trace(src: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, layers=(1,), pools=("all", "mean"))
    one, other = (cut(src, tmp_path / name, 3, config, at) for name, at in (("a", 0), ("b", 2)))
    parts = sorted(path.name for path in (one / "cut/parts").iterdir())
    assert parts == [f"part-{number}-of-3.safetensors" for number in range(3)]
    for name in parts:
        ours, theirs = ((out / "cut/parts" / name).read_bytes() for out in (one, other))
        assert ours == theirs
    spectra.merge(src, one)
    spectra.merge(src, other)
    assert written(one) == written(other)


def test_more_parts_than_rows(tmp_path: Path) -> None:
    src = write(tmp_path / "cut", [7, 8])
    spectra.run(src, tmp_path / "plain", QUICK)
    cut(src, tmp_path / "parts", 20, QUICK, first=11)
    (run,) = spectra.merge(src, tmp_path / "parts")
    assert unlike(tmp_path / "plain/cut", run.out, ROUNDING.relative) == []


def test_the_merge_sweeps_where_memory_is_short(src: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, jackknife="off", counts=(4,), layers=(1,))
    cut(src, tmp_path, 3, config)
    (run,) = spectra.merge(src, tmp_path)
    files = written(tmp_path)
    planned = json.loads((run.out / "run.json").read_text())["planned_bytes"]["host"]
    spectra.merge(src, tmp_path, max_memory=planned - 1)
    assert json.loads((run.out / "run.json").read_text())["passes"] > 1
    assert written(tmp_path) == files


def test_without_standard_errors_the_merge_reads_no_states(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A convention of one's own has no name that the parts could be merged by.
    own = replace(QUICK, convention=replace(convention("default"), name="own"))
    out = cut(small, tmp_path / "out", 2, own)

    def never(*args: object, **options: object) -> Any:
        raise AssertionError("states were read")

    monkeypatch.setattr(RowReader, "read", never)
    monkeypatch.setattr(Streamed, "fill", never)
    (run,) = spectra.merge(small, out, own)
    assert run.records


def test_a_part_reads_its_own_rows(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    real = RowReader.read

    def noted(self: RowReader, start: int, stop: int, out: Any = None) -> Any:
        read.append((start, stop))
        return real(self, start, stop, out)

    monkeypatch.setattr(RowReader, "read", noted)
    (part,) = spectra.run_part(small, tmp_path / "out", "1/3", QUICK)
    assert part.rows == (18, 36)
    assert {span for span in read if span[1] - span[0] > 1} == {(18, 36)}


def test_a_killed_part_is_done_again_and_the_others_stay(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cut(src, tmp_path / "whole", 2, QUICK) / "cut/parts"
    out = tmp_path / "out"
    spectra.run_part(src, out, "0/2", QUICK)
    first = (out / "cut/parts/part-0-of-2.safetensors").stat()
    killed = out / "cut/parts/.part-1-of-2"
    killed.mkdir()
    (killed / ".spectra-0123456789abcdef.tmp").write_bytes(b"half of it")

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(collect, "write_tensors", stop)
        with pytest.raises(KeyboardInterrupt):
            spectra.run_part(src, out, "1/2", QUICK)
    assert files_under(out) == {"cut/parts/part-0-of-2.safetensors"}
    cut(src, out, 2, QUICK)
    assert sorted(path.name for path in (out / "cut/parts").iterdir()) == [
        "part-0-of-2.safetensors",
        "part-1-of-2.safetensors",
    ]
    again = (out / "cut/parts/part-0-of-2.safetensors").stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    for path in whole.iterdir():
        assert path.read_bytes() == (out / "cut/parts" / path.name).read_bytes()


def test_a_part_of_other_options_or_states_is_named_with_what_differs(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    (part,) = spectra.run_part(small, out, "0/2", QUICK)
    other = replace(QUICK, seed=7)
    with pytest.raises(PartMismatchError, match=r"another options\.seed: 0 there, 7 in this run"):
        spectra.run_part(small, out, "0/2", other)
    (again,) = spectra.run_part(small, out, "0/2", other, fresh=True)
    assert (part.written, again.written) == (True, True)
    spectra.run_part(small, out, "1/2", QUICK)
    with pytest.raises(PartMismatchError, match=r"part-1-of-2.*options\.seed"):
        spectra.merge(small, out)
    with pytest.raises(PartMismatchError, match=r"part-0-of-2.*options\.seed"):
        spectra.merge(small, out, QUICK)
    cut(small, tmp_path / "new", 2, QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "versions", lambda: {"numpy": "0"})
        with pytest.raises(PartMismatchError, match=r"another versions\.spectra"):
            spectra.merge(small, tmp_path / "new")
    write(small, [30, 26])
    with pytest.raises(PartMismatchError, match=r"another input\.files\.config\.json\.sha256"):
        spectra.run_part(small, tmp_path / "new", "0/2", QUICK)
    write(small, [30, 25])
    for shard in small.glob("*layer1*.safetensors"):
        data = shard.read_bytes()
        shard.write_bytes(data[:-480] + data[-480:][::-1])
    with pytest.raises(PartMismatchError, match=r"another shift\.1"):
        spectra.run_part(small, tmp_path / "new", "0/2", QUICK)


def test_another_memory_limit_is_the_same_part(small: Path, tmp_path: Path) -> None:
    spectra.run_part(small, tmp_path / "out", "0/1", QUICK)
    (again,) = spectra.run_part(small, tmp_path / "out", "0/1", replace(QUICK, max_memory=10**9))
    assert not again.written
    with pytest.raises(UsageError, match="part 0/1 needs 1 MB, with all pools and categories"):
        spectra.run_part(small, tmp_path / "less", "0/1", replace(QUICK, max_memory=9))
    assert not (tmp_path / "less").exists()


def test_missing_parts_are_named_all_at_once(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(PartsMissingError, match="has no part of a run"):
        spectra.merge(small, out)
    for number in (1, 3):
        spectra.run_part(small, out, f"{number}/5", QUICK)
    with pytest.raises(PartsMissingError, match=r"lacks 3 of 5 parts: 0/5, 2/5, 4/5\."):
        spectra.merge(small, out)
    spectra.run_part(small, out, "0/1", QUICK)
    with pytest.raises(PartsMissingError, match="cut in 1 and in 5"):
        spectra.merge(small, out)
    assert not (out / "cut/run.json").exists()


def test_a_damaged_part_is_not_added(small: Path, tmp_path: Path) -> None:
    out = cut(small, tmp_path / "out", 2, QUICK)
    path = Part(1, 2).path(out / "cut")
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    for damage in (whole[:-1], whole[:100], b"", whole.replace(b"spectra_part", b"spectra_trap")):
        path.write_bytes(damage)
        for act in (
            lambda: spectra.merge(small, out),
            lambda: spectra.run_part(small, out, "1/2", QUICK),
        ):
            with pytest.raises(PartFormatError, match=r"part-1-of-2.*not a whole part"):
                act()
    for place in (8 + length, (8 + length + len(whole)) // 2, len(whole) - 33, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1  # of a tensor, or of the hash
        path.write_bytes(damaged)
        with pytest.raises(PartFormatError, match="its bytes are not those that were written"):
            spectra.merge(small, out)
    path.write_bytes(Part(0, 2).path(out / "cut").read_bytes())
    with pytest.raises(PartFormatError, match="not part 1/2 of a run: it was written as part"):
        spectra.merge(small, out)
    with pytest.raises(PartFormatError, match="not part 1/2 of a run: it was written as part"):
        spectra.run_part(small, out, "1/2", QUICK)
    header = json.loads(whole[8 : 8 + length])
    header["other"] = header.pop("layer_1/mean/means")
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + length :])
    with pytest.raises(PartFormatError, match="its tensor 'layer_1/mean/means' is None"):
        spectra.merge(small, out)
    spectra.run_part(small, out, "1/2", QUICK, fresh=True)
    assert path.read_bytes() == whole
    record = json.loads(header["__metadata__"]["spectra_part"])
    first = Part(0, 2).path(out / "cut")
    data = first.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for options in (
        {"no": 1},
        {**record["options"], "drop_dims": {"a": 1}},
        {**record["options"], "pools": ["no"]},
        {**record["options"], "repeats": 10**12},
        {**record["options"], "repeats": 9},
        None,
        [1],
    ):
        header["__metadata__"]["spectra_part"] = json.dumps(record | {"options": options})
        text = json.dumps(header).encode()
        first.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
        with pytest.raises(PartFormatError, match="its options are not those of this version"):
            spectra.merge(small, out)


@pytest.mark.parametrize(
    "options", [{"nonfinite": "drop"}, {"nonfinite": "error"}, {"drop_norms": 3.0}]
)
def test_what_needs_all_rows_first_is_refused(
    small: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="parts do not go with"):
        spectra.run_part(small, tmp_path / "out", "0/2", replace(QUICK, **options))


@pytest.mark.parametrize("text", ["", "1", "2/2", "0/0", "-1/2", "1/2/3", "a/b", "0/100001"])
def test_only_parts_that_there_are_can_be_asked_for(small: Path, text: str) -> None:
    with pytest.raises(UsageError, match="Expected i/n"):
        spectra.run_part(small, small.parent / "out", text, QUICK)


@pytest.mark.parametrize("rows", [0, 1, 5, 1000])
@pytest.mark.parametrize("of", [1, 3, 7, 1001])
def test_parts_cover_every_row_once(rows: int, of: int) -> None:
    spans = [Part(number, of).span(rows) for number in range(of)]
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == rows


def test_a_full_disk_is_told_before_anything_is_read(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "free_bytes", lambda path: 10)
    with pytest.raises(OutputError, match="the part needs"):
        spectra.run_part(small, tmp_path / "out", "0/2", QUICK)
    assert not files_under(tmp_path / "out")


def test_the_size_is_known_before(small: Path, tmp_path: Path) -> None:
    backend = select_backend("cpu")
    planned = collect.plan_part(prepare(small, QUICK, backend), QUICK, backend, Part(1, 2))
    (part,) = spectra.run_part(small, tmp_path / "out", "1/2", QUICK)
    assert part.bytes == part.path.stat().st_size
    length = int.from_bytes(part.path.read_bytes()[:8], "little")
    assert part.bytes == planned.size + 8 + length
    assert set(planned.shares) == {LAYERS[0]}


def test_the_command_line(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("run", small, "--out", out, *SMALL, "--part", "0/2", "--devices", "1")
    told = call(*words, "--dry-run")
    assert "would read token rows 0 to 27 of 1 layer(s)" in told.stdout
    document = json.loads(call(*words, "--dry-run", "--json").stdout)
    assert document["parts"][0]["rows"] == [0, 27]
    assert not out.exists()
    assert "part-0-of-2.safetensors (" in call(*words).stdout
    assert "left as it is" in call(*words).stdout
    assert json.loads(call(*words, "--fresh", "--json").stdout)["parts"][0]["written"]
    lacking = call("merge", small, "--out", out)
    assert (lacking.exit_code, "1/2" in lacking.stderr) == (3, True)
    for flag in ("--strict", "--profile"):
        assert call(*words, flag).exit_code == 2
    assert call("run", small, "--out", out, "--fresh").exit_code == 2
    call("run", small, "--out", out, *SMALL, "--part", "1/2")
    merged = call("merge", small, "--out", out, "--json")
    assert merged.exit_code == 0, merged.output
    options = json.loads((out / "cut/run.json").read_text())["options"]
    assert options["num_bins"] == {"value": 2, "source": "given"}
    assert options["devices"] == {"value": 0, "source": "default"}  # of the machine that merges
    shutil.rmtree(out / "cut/parts")
    assert call("run", small, "--out", tmp_path / "plain", *SMALL, "--json").exit_code == 0
    assert unlike(tmp_path / "plain/cut", out / "cut", ROUNDING.relative) == []
