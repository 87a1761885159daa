"""Opening a store: new, resumed, complete, or refused, and what the files say."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from extract.store import Plan, open_store
from extract.store import errors as store_errors
from spectra import errors
from tests.artifact_files import edit, write_tiny
from tests.store_cases import (
    FINGERPRINT,
    all_states,
    contents,
    extract,
    small_plan,
    traces,
)


@pytest.fixture
def plan() -> Plan:
    return small_plan(traces(7))


@pytest.fixture
def begun(tmp_path: Path, plan: Plan) -> Path:
    """A directory with the first two batches."""
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        for batch in plan.batches[:2]:
            store.write(batch, all_states(plan, batch))
    return tmp_path / "a"


@pytest.fixture
def done(tmp_path: Path, plan: Plan) -> Path:
    """A complete directory."""
    return extract(tmp_path / "a", plan)


def reopen(
    path: Path, plan: Plan, fingerprint: Any = FINGERPRINT, *, fresh: bool = False
) -> tuple[bool, int]:
    """Whether it was complete, and how many batches were pending."""
    with open_store(path, plan, fingerprint, fresh=fresh) as store:
        return store.complete, len(store.pending_batches())


# ---- going on ---------------------------------------------------------------------------------


def test_a_begun_directory_goes_on(begun: Path, plan: Plan) -> None:
    with open_store(begun, plan, FINGERPRINT) as store:
        assert not store.complete
        assert store.pending_batches() == plan.batches[2:]
        assert store.finished == {n for batch in plan.batches[:2] for n in batch.samples}


def test_samples_without_rows_are_finished(tmp_path: Path) -> None:
    samples = traces(7)
    plan = small_plan(samples, only_step_tokens=True)
    empty = {n for n, sample in enumerate(plan.samples) if not sample.kept}
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        assert store.finished == empty


def test_a_complete_directory_has_nothing_to_do(done: Path, plan: Plan) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    with open_store(done, plan, FINGERPRINT) as store:
        assert store.complete
        assert store.pending_batches() == ()
        assert store.finished == set(range(7))
        assert store.commit(model="fake") == done
    assert {path: path.stat().st_mtime_ns for path in done.iterdir()} == before


def test_the_order_of_the_fingerprints_fields_does_not_matter(begun: Path, plan: Plan) -> None:
    assert reopen(begun, plan, dict(reversed(FINGERPRINT.items())))[0] is False


def test_fresh_starts_over(begun: Path, plan: Plan) -> None:
    assert reopen(begun, plan, fresh=True) == (False, len(plan.batches))


def test_fresh_replaces_another_artifact_and_leaves_none_of_it(tmp_path: Path, plan: Plan) -> None:
    write_tiny(tmp_path / "a")
    extract(tmp_path / "a", plan, fresh=True)
    assert contents(tmp_path / "a") == contents(extract(tmp_path / "b", plan))


def test_a_config_never_outlives_its_shards(
    done: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting over, whatever removal fails: no config, or one whose artifact is whole."""
    original = Path.unlink
    removed: list[str] = []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if removed and removed[-1].endswith("shard000.safetensors"):
            raise PermissionError(1, "Operation not permitted")
        original(path, missing_ok=missing_ok)
        removed.append(path.name)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(errors.OutputError, match="Operation not permitted"):
            reopen(done, plan, fresh=True)
    assert removed[0] == "config.json"
    with pytest.raises(store_errors.ForeignArtifactError, match="and no journal"):
        reopen(done, plan)
    assert contents(extract(done, plan, fresh=True)) == contents(
        extract(done.parent / "other", plan)
    )


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("complete", [False, True])
def test_another_fingerprint(tmp_path: Path, plan: Plan, complete: bool) -> None:
    path = tmp_path / "a"
    if complete:
        extract(path, plan)
    else:
        reopen(path, plan)
    before = contents(path)
    other = {"weights": {"revision": "xyz"}, "tokenizer": None, "compute_dtype": "bfloat16"}
    with pytest.raises(store_errors.FingerprintMismatchError) as caught:
        reopen(path, plan, other)
    text = str(caught.value)
    assert 'fingerprint.weights.revision was "abc", is "xyz"' in text
    assert "fingerprint.tokenizer was absent, is null" in text
    assert "compute_dtype" not in text
    assert "plan." not in text
    assert "--fresh" in text
    assert contents(path) == before


def test_another_plan(begun: Path) -> None:
    with pytest.raises(store_errors.FingerprintMismatchError) as caught:
        reopen(begun, small_plan(traces(8)))
    assert "plan.sha256 was" in str(caught.value)
    assert "plan.samples was 7, is 8" in str(caught.value)


def test_a_foreign_artifact(tmp_path: Path, plan: Plan) -> None:
    path = write_tiny(tmp_path / "a")
    before = contents(path)
    with pytest.raises(store_errors.ForeignArtifactError, match=r"config\.json tells of no extrac"):
        reopen(path, plan)
    assert contents(path) == before


@pytest.mark.parametrize(
    "name", ["index.json", "hidden_states_layer2_shard000.safetensors", "extraction.journal"]
)
def test_an_unfinished_directory_of_others(tmp_path: Path, plan: Plan, name: str) -> None:
    path = write_tiny(tmp_path / "a")
    for file in path.iterdir():
        if file.name != name:
            file.unlink()
    if name == "extraction.journal":
        name = "hidden_states_layer9_shard000.safetensors.partial"
        (path / name).touch()
    with pytest.raises(store_errors.ForeignArtifactError, match=f"{name} and no journal"):
        reopen(path, plan)


def test_a_complete_artifact_that_lost_a_shard(done: Path, plan: Plan) -> None:
    next(done.glob("*shard000.safetensors")).unlink()
    with pytest.raises(store_errors.DamagedArtifactError, match=r"missing.*start over with --fre"):
        reopen(done, plan)


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"[1]\n", b'{"plan": {}}'])
def test_a_journal_without_its_first_line(begun: Path, plan: Plan, content: bytes) -> None:
    (begun / "extraction.journal").write_bytes(content)
    with pytest.raises(store_errors.JournalError, match="line 1 is not the record"):
        reopen(begun, plan)


def test_a_batch_that_the_plan_has_not(begun: Path, plan: Plan) -> None:
    with open(begun / "extraction.journal", "ab") as stream:
        stream.write(b'{"batch": 999}\n{"batch": -1}\n')
    assert reopen(begun, plan) == (False, len(plan.batches) - 2)


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("fresh", [False, True])
def test_too_small_a_disk(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9999, 9000, 999))
    with pytest.raises(store_errors.DiskSpaceError, match=r"need [\d,]+ bytes more.* has 999 free"):
        reopen(tmp_path / "a", plan, fresh=fresh)
    assert not (tmp_path / "a").exists()


def test_no_space_is_asked_for_twice(
    begun: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9999, 9999, 0))
    assert reopen(begun, plan)[0] is False


def test_a_full_disk_keeps_the_old_artifact_of_a_fresh_start(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(done)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9999, 9999, 0))
    with pytest.raises(store_errors.DiskSpaceError):
        reopen(done, small_plan(traces(60), hidden_dim=512), fresh=True)
    assert contents(done) == before


def test_two_runs_at_once(tmp_path: Path, plan: Plan) -> None:
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    with open_store(tmp_path / "a", plan, FINGERPRINT) as store:
        with pytest.raises(errors.DirectoryBusyError, match=f"written by {holder}"):
            reopen(tmp_path / "a", plan)
        store.write(plan.batches[0], all_states(plan, plan.batches[0]))
    assert reopen(tmp_path / "a", plan) == (False, len(plan.batches) - 1)


def test_the_lock_of_a_killed_run_binds_nobody(begun: Path, plan: Plan) -> None:
    (begun / "extraction.lock").write_text("process 1 on elsewhere")
    assert reopen(begun, plan)[0] is False
    assert not (begun / "extraction.lock").exists()


def test_a_directory_that_cannot_be_made(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.OutputError, match="file/a cannot be written"):
        reopen(tmp_path / "file" / "a", plan)


@pytest.mark.parametrize("field", ["storage_dtype", "num_tokens"])
def test_a_config_changed_by_hand(done: Path, plan: Plan, field: str) -> None:
    edit(done / "config.json", lambda config: config.pop(field))
    with pytest.raises(store_errors.DamagedArtifactError, match=f"no field '{field}'"):
        reopen(done, plan)


def test_a_lock_whose_file_was_just_removed_is_taken_anew(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder removes the file when it ends: a lock on the removed one would exclude nobody."""
    original, calls = fcntl.flock, list[int]()
    lock = tmp_path / "a" / "extraction.lock"

    def flock(handle: int, operation: int) -> None:
        if not calls:
            lock.unlink()
            calls.append(handle)
        elif os.path.samestat(os.fstat(handle), lock.stat()):  # and not a temporary's
            calls.append(handle)
        original(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with open_store(tmp_path / "a", plan, FINGERPRINT):
        assert len(calls) == 2
        with pytest.raises(errors.DirectoryBusyError):
            reopen(tmp_path / "a", plan)
