"""An extraction that several processes share, threads here: who computes what, how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract import ExtractConfig, Extraction, run, sharing
from extract.sharing import deal
from extract.store import Batch, Store
from extract.store.errors import DirectoryNotSharedError, FingerprintMismatchError
from extract.store.opening import holder
from spectra.distributed import Processes
from spectra.errors import DisagreementError, OutputError, PeerError
from tests.extract_cases import config_of, one_device, short_traces, write_model
from tests.extract_run import files
from tests.thread_processes import each as threaded

TRACES = [trace for trace in short_traces(200) if len(trace.response) < 66]


@pytest.fixture(autouse=True)
def _one_device() -> Iterator[None]:
    with one_device():
        yield


@pytest.fixture
def config(tmp_path: Path) -> ExtractConfig:
    write_model(tmp_path / "model", case="llama-v4", num_hidden_layers=2)
    return config_of(tmp_path, TRACES, max_tokens_per_batch=64)


# ---- who computes what ------------------------------------------------------------------------


def tokens(batch: Batch) -> int:
    return batch.shape[0] * batch.shape[1]


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 300)), max_size=40)


@given(shapes=shapes, copies=st.lists(st.integers(1, 8), min_size=1, max_size=9))
def test_batches_are_dealt_out_evenly(shapes: list[tuple[int, int]], copies: list[int]) -> None:
    batches = [Batch(number, (), shape) for number, shape in enumerate(shapes)]
    shares = deal(batches, copies)
    assert sorted(batch.number for share in shares for batch in share) == list(range(len(batches)))
    assert all(list(share) == sorted(share, key=lambda batch: batch.number) for share in shares)
    assert deal(batches, copies) == shares
    loads = [sum(map(tokens, share)) / number for share, number in zip(shares, copies, strict=True)]
    even = sum(map(tokens, batches)) / sum(copies)
    largest = max(map(tokens, batches), default=0)
    assert max(loads) <= even + largest


def test_one_process_has_all_in_their_order() -> None:
    batches = [Batch(number, (), (1, 10 + number)) for number in range(5)]
    assert deal(batches, [1]) == [tuple(batches)]


def test_a_process_with_more_copies_has_more() -> None:
    batches = [Batch(number, (), (2, 16)) for number in range(12)]
    assert [len(share) for share in deal(batches, [1, 3, 2])] == [2, 6, 4]


# ---- whole runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
def test_processes_write_what_one_writes(config: ExtractConfig, count: int) -> None:
    whole = run(replace(config, out=config.out.parent / "good"))
    found = threaded(count, lambda processes: run(config, processes=processes))
    assert all(isinstance(one, Extraction) for one in found), found
    results: list[Any] = found
    assert {one.computed_tokens for one in results} == {whole.computed_tokens}
    assert files(config.out) == files(whole.path)
    logs = [one.log for one in results]
    assert [path.name.rpartition("_")[2] for path in logs[1:]] == [
        f"process{rank}.log" for rank in range(1, count)
    ]
    shares = [int(path.read_text().split(" computed ")[1].split()[0]) for path in logs]
    assert sum(shares) == whole.computed_tokens
    assert min(shares) > 0
    assert "Z complete" not in logs[1].read_text()
    again = threaded(count, lambda processes: run(config, processes=processes))
    assert [one.log for one in again if isinstance(one, Extraction)] == [None] * count


def test_the_card_is_written_once(config: ExtractConfig) -> None:
    folder = config.out / "reprs"
    options = replace(config, out=folder / "tiny", push_layout=True)
    found: list[Any] = threaded(2, lambda processes: run(options, processes=processes))
    assert [one.card for one in found] == [folder / "README.md", None]


@pytest.mark.parametrize("rank", [0, 1])
def test_other_options_are_refused_before_anything_is_written(
    config: ExtractConfig, rank: int
) -> None:
    def work(processes: Processes) -> Extraction:
        options = replace(config, limit=5) if processes.rank == rank else config
        return run(options, processes=processes)

    assert [type(error) for error in threaded(2, work)] == [DisagreementError] * 2
    assert not config.out.exists()


def test_what_process_0_refuses_ends_all(config: ExtractConfig) -> None:
    run(config)
    before = files(config.out)
    options = replace(config, limit=5)
    found = threaded(3, lambda processes: run(options, processes=processes))
    assert [type(error) for error in found] == [FingerprintMismatchError, PeerError, PeerError]
    assert files(config.out) == before


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_ends_all_and_a_run_of_another_number_goes_on(
    config: ExtractConfig, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extract.store.opening.JOURNAL_INTERVAL", 0.0)
    whole = run(replace(config, out=config.out.parent / "good"))

    def work(processes: Processes) -> Extraction:
        def tell(stage: str, done: int, total: int) -> None:
            if stage == "computing" and done > total / 2 and processes.rank == rank:
                raise OutputError("the disk is full.")

        return run(config, progress=tell, processes=processes)

    failed = threaded(2, work)
    assert [type(error) for error in failed] == [
        OutputError if number == rank else PeerError for number in range(2)
    ]
    assert "config.json" not in files(config.out)
    rest: list[Any] = threaded(3, lambda processes: run(config, processes=processes))
    assert 0 < rest[0].computed_tokens < whole.computed_tokens  # of all processes together
    assert files(config.out) == files(whole.path)


def test_a_directory_that_is_not_shared(
    config: ExtractConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "SEEING", 0.2)

    def work(processes: Processes) -> Extraction:
        out = config.out.parent / f"out{processes.rank}"
        return run(replace(config, out=out), processes=processes)

    found = threaded(2, work)
    assert [type(error) for error in found] == [PeerError, DirectoryNotSharedError]
    assert f"{config.out.parent}/out1 of process 1 is not the directory of process 0" in str(
        found[1]
    )


def test_a_directory_that_is_seen_late(
    config: ExtractConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def late(directory: Path) -> str | None:
        asked.append(directory)
        return None if len(asked) in {2, 3} else holder(directory)

    monkeypatch.setattr(sharing, "holder", late)
    found = threaded(2, lambda processes: run(config, processes=processes))
    assert all(isinstance(one, Extraction) for one in found), found
    assert len(asked) == 4


def test_rows_that_are_not_finite_are_told_of_all(
    config: ExtractConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write

    def spoiled(store: Store, batch: Batch, states: Any) -> None:
        write(
            store,
            batch,
            {layer: array.at[:, 0].set(float("nan")) for layer, array in states.items()},
        )

    monkeypatch.setattr(Store, "write", spoiled)
    found: list[Any] = threaded(2, lambda processes: run(config, processes=processes))
    (warning,) = found[0].warnings
    assert warning.startswith(f"layer 2: {len(TRACES)} of the rows computed now hold NaN")
    assert found[1].warnings == ()
