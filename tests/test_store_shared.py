"""A store that several processes fill: what each leaves behind, and who may go on."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from extract.store import Batch, Plan, Store, join_store, open_store
from extract.store.errors import FingerprintMismatchError, UnfinishedStoreError
from extract.store.journal import JOURNAL_NAME, read_journal
from extract.store.opening import LOCK_NAME, holder
from extract.store.sink import NonFinite
from spectra.errors import DirectoryBusyError, OutputError
from tests.faults import Act, failing, unflushed
from tests.store_cases import (
    FAKE_MODEL,
    FINGERPRINT,
    all_states,
    contents,
    extract,
    extract_shared,
    opened,
    small_plan,
    traces,
)


@pytest.fixture
def plan() -> Plan:
    return small_plan(traces(16))


@pytest.fixture
def good(tmp_path: Path, plan: Plan) -> dict[str, bytes]:
    return contents(extract(tmp_path / "good", plan))


def write(store: Store, plan: Plan, batches: tuple[Batch, ...]) -> None:
    for batch in batches:
        store.write(batch, all_states(plan, batch))


def begin(path: Path, plan: Plan, count: int = 3) -> None:
    """Of each process's batches the first, and a kill of all but process 0."""
    with ExitStack() as stack:
        for store in opened(stack, path, plan, count):
            write(store, plan, store.pending_batches()[:1])


@pytest.mark.parametrize("count", [2, 3])
def test_the_files_are_those_of_one_process(
    tmp_path: Path, plan: Plan, good: dict[str, bytes], count: int
) -> None:
    extract_shared(tmp_path / "a", plan, count)
    assert contents(tmp_path / "a") == good


@pytest.mark.parametrize(("before", "after"), [(3, 1), (3, 2), (2, 4), (1, 2)])
def test_any_number_goes_on_with_what_all_have_finished(
    tmp_path: Path, plan: Plan, good: dict[str, bytes], before: int, after: int
) -> None:
    path = tmp_path / "a"
    begin(path, plan, before)
    with ExitStack() as stack:
        stores = opened(stack, path, plan, after)
        assert sum(len(store.pending_batches()) for store in stores) == len(plan.batches) - before
        _, lines = read_journal(path / JOURNAL_NAME)
        assert set(lines) == set(range(before))
        for store in stores:
            write(store, plan, store.pending_batches())
            store.settle()
        stores[0].commit(model=FAKE_MODEL, config_extra={"note": "kept"})
    assert contents(path) == good


@pytest.mark.parametrize("act", ["full", "EIO"])
def test_any_call_may_fail_and_any_number_mends_it(tmp_path: Path, act: Act) -> None:
    """For every call of two processes until a run passes untouched."""
    plan = small_plan(traces(4), shard_rows=50)
    good = contents(extract(tmp_path / "good", plan))
    for nth in range(1, 2000):
        path = tmp_path / f"run{nth}"
        path.mkdir()
        with failing(nth, act) as faults, suppress(OutputError):
            extract_shared(path, plan)
        with unflushed():
            extract_shared(path, plan, nth % 3 + 1)
        assert contents(path) == good
        if faults.failed is None:
            assert nth > 60
            return
    raise AssertionError("the run never got through")


def test_journals_of_others_are_taken_over_before_they_go(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a"
    begin(path, plan)
    names = {JOURNAL_NAME, f"{JOURNAL_NAME}-1", f"{JOURNAL_NAME}-2"}
    assert {file.name for file in path.glob(f"{JOURNAL_NAME}*")} == names
    with open_store(path, plan, FINGERPRINT):
        assert {file.name for file in path.glob(f"{JOURNAL_NAME}*")} == {JOURNAL_NAME}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_torn_journal_of_another_costs_its_batches(
    tmp_path: Path, plan: Plan, good: dict[str, bytes], share: float
) -> None:
    path = tmp_path / "a"
    begin(path, plan)
    journal = path / f"{JOURNAL_NAME}-1"
    record, lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(record + lines[: int(share * len(lines))])
    with open_store(path, plan, FINGERPRINT) as store:
        assert {batch.number for batch in store.pending_batches()} == {
            1,
            *range(3, len(plan.batches)),
        }
        write(store, plan, store.pending_batches())
        store.commit(model=FAKE_MODEL, config_extra={"note": "kept"})
    assert contents(path) == good


def test_one_journal_is_enough_to_know_whose_files_these_are(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a"
    begin(path, plan)
    (path / JOURNAL_NAME).unlink()
    with pytest.raises(FingerprintMismatchError, match="compute_dtype was"):
        open_store(path, plan, FINGERPRINT | {"compute_dtype": "float32"}).__enter__()
    with open_store(path, plan, FINGERPRINT) as store:
        assert len(store.pending_batches()) == len(plan.batches) - 2


def test_fresh_leaves_no_journal(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a"
    begin(path, plan)
    with open_store(path, plan, FINGERPRINT | {"compute_dtype": "float32"}, fresh=True) as store:
        assert len(store.pending_batches()) == len(plan.batches)
        assert [file.name for file in path.glob(f"{JOURNAL_NAME}*")] == [JOURNAL_NAME]


def test_nobody_begins_while_a_process_of_the_last_run_is_there(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a"
    begin(path, plan)
    with (
        join_store(path, plan, FINGERPRINT, frozenset(), rank=1),
        pytest.raises(DirectoryBusyError, match="is being written by process"),
    ):
        open_store(path, plan, FINGERPRINT).__enter__()
    (path / f"{LOCK_NAME}-7").write_text("process 1 on a machine\n")  # as a killed one leaves it
    with open_store(path, plan, FINGERPRINT):
        assert [file.name for file in path.glob(f"{LOCK_NAME}*")] == [LOCK_NAME]


def test_who_holds_it(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a"
    assert holder(path) is None
    with open_store(path, plan, FINGERPRINT):
        assert (holder(path) or "").startswith("process ")
    assert holder(path) is None


def test_a_whole_artifact_is_whole_for_all(tmp_path: Path, plan: Plan) -> None:
    path = extract(tmp_path / "a", plan)
    before = contents(path)
    with join_store(path, plan, FINGERPRINT, None, rank=1) as store:
        assert store.complete
        assert dict(store.settle()) == {}
        store.hear({2: NonFinite(1, 0, 0)})
    assert contents(path) == before


def test_what_was_not_written_is_told_before_others_wait(tmp_path: Path, plan: Plan) -> None:
    with ExitStack() as stack:
        _, store = opened(stack, tmp_path / "a", plan, 2)
        with pytest.raises(UnfinishedStoreError):
            store.settle()


def test_what_others_wrote_not_finite_is_told_with_ones_own(tmp_path: Path, plan: Plan) -> None:
    with ExitStack() as stack:
        stores = opened(stack, tmp_path / "a", plan, 2)
        for store in stores:
            for batch in store.pending_batches():
                states = all_states(plan, batch)
                states[2][0, 0] = np.nan
                store.write(batch, states)
        own, others = (store.settle() for store in stores)
        stores[0].hear(others)
        stores[0].hear({4: NonFinite(3, 1, 2)})
        stores[0].commit(model=FAKE_MODEL)
    rows = own[2].rows + others[2].rows
    assert rows > own[2].rows
    of_two, of_four = stores[0].warnings
    assert of_two.startswith(f"layer 2: {rows} of the rows computed now hold NaN")
    assert of_four.startswith("layer 4: 3 of the rows computed now hold NaN or infinity, that of t")
    assert "token 2 of sample 'trace-1'" in of_four
