"""What an earlier run wrote and the disk lost is noticed, told, and computed again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from extract.store import Batch, Plan, Store, open_store
from extract.store.journal import read_journal
from tests.store_cases import (
    DIM,
    FINGERPRINT,
    LAYERS,
    all_states,
    check_against_model,
    contents,
    extract,
    small_plan,
)

BEGUN = 4
"""Batches of those that were finished."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an extraction that nothing interrupted."""
    return contents(extract(tmp_path_factory.mktemp("good"), small_plan()))


def begin(path: Path, count: int = BEGUN) -> Plan:
    """An extraction that stopped after so many batches."""
    plan = small_plan()
    with open_store(path, plan, FINGERPRINT) as store:
        for batch in plan.batches[:count]:
            store.write(batch, all_states(plan, batch))
    return plan


def shard(path: Path, layer: int, number: int) -> Path:
    (found,) = path.glob(f"hidden_states_layer{layer}_shard{number:03d}.*")
    return found


def flip(file: Path, place: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


def flip_row(path: Path, plan: Plan, sample: int, layer: int, byte: int) -> Path:
    """One bit of a sample's rows; `byte` counts in them, from the end where it is negative."""
    number, entry = plan.shard_of(sample), plan.samples[sample].entry
    first = (entry.global_offset - plan.cuts[number][0]) * plan.row_bytes
    size = entry.num_tokens * plan.row_bytes
    file = shard(path, layer, number)
    flip(file, len(plan.shard_header(number)) + first + byte % size, byte % 8)
    return file


def reopened(path: Path, plan: Plan) -> tuple[tuple[Batch, ...], tuple[str, ...]]:
    with open_store(path, plan, FINGERPRINT) as store:
        return store.pending_batches(), store.warnings


@pytest.mark.parametrize("layer", [layer.index for layer in LAYERS])
@pytest.mark.parametrize("byte", [0, 2 * DIM, -1])
@pytest.mark.parametrize("number", [0, BEGUN - 1])
def test_a_flipped_bit_in_rows_of_an_earlier_run(
    tmp_path: Path, good: dict[str, bytes], number: int, byte: int, layer: int
) -> None:
    """Of the first or last batch; in the first byte of a sample, in the last, or between."""
    plan = begin(tmp_path)
    samples = plan.batches[number].samples
    file = flip_row(tmp_path, plan, samples[min(0, byte)], layer, byte)
    pending, warnings = reopened(tmp_path, plan)
    assert pending == (plan.batches[number], *plan.batches[BEGUN:])
    (warning,) = warnings
    assert warning.startswith(f"1 of the {BEGUN} batches that were finished earlier are not on the")
    assert file.name in warning
    # The journal has forgotten the batch, and a run that damage stopped anew goes on from there.
    assert reopened(tmp_path, plan) == (pending, ())
    assert contents(extract(tmp_path, plan)) == good


def test_damage_all_over(tmp_path: Path, good: dict[str, bytes]) -> None:
    """Zeros where a block was lost, at the end of every shard of a layer; all batches were done."""
    plan = begin(tmp_path, len(small_plan().batches))
    for number in range(len(plan.cuts)):
        file = shard(tmp_path, LAYERS[0].index, number)
        with file.open("r+b") as stream:
            stream.seek(-plan.row_bytes, os.SEEK_END)
            stream.write(bytes(plan.row_bytes))
    last = {end - 1 for _, end in plan.cuts}
    hit = tuple(batch for batch in plan.batches if last & set(ends(plan, batch)))
    seen: list[str] = []
    with open_store(tmp_path, plan, FINGERPRINT) as store:
        assert store.pending_batches() == hit
        seen += store.warnings
    assert f"{len(hit)} of the {len(plan.batches)} batches" in seen[0]
    assert contents(extract(tmp_path, plan)) == good
    check_against_model(tmp_path, plan)


def ends(plan: Plan, batch: Batch) -> list[int]:
    entries = (plan.samples[number].entry for number in batch.samples)
    return [entry.global_offset + entry.num_tokens - 1 for entry in entries]


def test_damage_after_the_final_names(
    tmp_path: Path, good: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the shards' names and config.json."""
    plan = small_plan()

    def killed(*args: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("extract.store.store.write_documents", killed)
    with pytest.raises(InterruptedError):
        extract(tmp_path, plan)
    monkeypatch.undo()
    file = flip_row(tmp_path, plan, 0, LAYERS[1].index, 5)
    assert file.suffix == ".safetensors"
    assert extract(tmp_path, plan) == tmp_path
    assert contents(tmp_path) == good


@pytest.mark.parametrize("layers", ["none", "too few", "no list", "another", "swapped"])
def test_hashes_that_are_not_there(tmp_path: Path, good: dict[str, bytes], layers: str) -> None:
    """As an older version left it, or damage: those batches are computed again."""
    plan = begin(tmp_path)
    path = tmp_path / "extraction.journal"
    first, *lines = path.read_text().splitlines()
    changes: dict[str, Callable[[list[str]], object]] = {
        "none": lambda found: None,
        "too few": lambda found: found[1:],
        "no list": "".join,
        "another": lambda found: [found[0], found[0][::-1]],
        "swapped": lambda found: found[::-1],
    }
    entries = [json.loads(line) for line in lines]
    for entry in entries[:-1]:
        entry["sha256"] = changes[layers](entry["sha256"])
    path.write_text("\n".join([first, *map(json.dumps, entries), ""]))
    pending, (warning,) = reopened(tmp_path, plan)
    assert pending == (*plan.batches[: BEGUN - 1], *plan.batches[BEGUN:])
    words = "not on the disk as they" if layers in ("another", "swapped") else "journal has no hash"
    assert words in warning
    assert f"{BEGUN - 1} of the {BEGUN} batches" in warning
    assert contents(extract(tmp_path, plan)) == good


def test_a_digest_is_that_of_the_rows_on_the_disk(tmp_path: Path) -> None:
    """Of the sample's rows in the shard, one after the other."""
    plan = begin(tmp_path)
    _, lines = read_journal(tmp_path / "extraction.journal")
    assert sorted(lines) == list(range(BEGUN))
    for batch in plan.batches[:BEGUN]:
        made = []
        for layer in plan.layers:
            data = b""
            for sample in batch.samples:
                number, entry = plan.shard_of(sample), plan.samples[sample].entry
                first = (entry.global_offset - plan.cuts[number][0]) * plan.row_bytes
                first += len(plan.shard_header(number))
                size = entry.num_tokens * plan.row_bytes
                data += shard(tmp_path, layer.index, number).read_bytes()[first : first + size]
            made.append(hashlib.sha256(data).hexdigest()[:16])
        assert lines[batch.number].sha256 == made


def test_a_shard_under_both_names_is_written_again(tmp_path: Path, good: dict[str, bytes]) -> None:
    """Rows would go to the one, and the other would get the name."""
    plan = begin(tmp_path)
    partial = shard(tmp_path, LAYERS[0].index, 0)
    partial.with_suffix("").write_bytes(partial.read_bytes()[:-1])
    assert contents(extract(tmp_path, plan)) == good


def test_the_reading_is_told(tmp_path: Path) -> None:
    plan = begin(tmp_path)
    told: list[tuple[str, int, int]] = []
    with open_store(tmp_path, plan, FINGERPRINT, progress=lambda *one: told.append(one)) as store:
        assert isinstance(store, Store)
    assert told == [("checking", done, BEGUN) for done in range(BEGUN)]
