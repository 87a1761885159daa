"""Processes hear of each other's errors and deaths, through whatever keeps keys and values."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from spectra.distributed import watch
from spectra.distributed.connected import Connected
from spectra.distributed.watch import Watch
from spectra.errors import DisagreementError, PeerError, UsageError


class Store:
    """Keys and values as JAX's coordination service keeps them."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.changed = threading.Condition()
        self.gone = False

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
        with self.changed:
            self._answer()
            if key in self.values and not allow_overwrite:
                raise RuntimeError(f"ALREADY_EXISTS: {key}")
            self.values[key] = value
            self.changed.notify_all()

    def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]:
        with self.changed:
            self._answer()
            return [(key, value) for key, value in self.values.items() if key.startswith(prefix)]

    def blocking_key_value_get(self, key: str, milliseconds: int) -> str:
        with self.changed:
            self._answer()
            if not self.changed.wait_for(lambda: key in self.values, milliseconds / 1000):
                raise RuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out")
            return self.values[key]

    def _answer(self) -> None:
        if self.gone:
            raise RuntimeError("UNAVAILABLE: Socket closed\nmore of it")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.02)
    monkeypatch.setattr(watch, "SILENT", 0.5)
    monkeypatch.setattr(watch, "GRACE", 60.0)
    monkeypatch.setattr("spectra.distributed.connected._ASKING", 20)
    monkeypatch.setattr("spectra.distributed.connected.LEAVING", 1.0)
    monkeypatch.setattr("atexit.register", lambda *_: None)  # which would end the tests' process


@pytest.fixture
def store() -> Store:
    return Store()


Pair = Callable[..., list[Connected]]


@pytest.fixture
def pair(store: Store) -> Iterator[Pair]:
    """Makes two processes; nobody watches them after the test."""
    made: list[Connected] = []

    def connected(wire: Any = None) -> list[Connected]:
        with ThreadPoolExecutor(2) as threads:
            futures = [threads.submit(Connected, store, rank, 2, lambda: wire) for rank in range(2)]
        made.extend(one.result() for one in futures)
        return made

    yield connected
    for one in made:
        one._watch.stop()


def both(*calls: Any) -> list[Any]:
    """What two processes get that call side by side; the error in place of a result."""

    def caught(call: Any) -> Any:
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(caught, calls))


def test_values_are_gathered_in_the_order_of_ranks(store: Store, pair: Pair) -> None:
    one, other = pair()
    found = both(lambda: one.gather("x", {"a": [1]}), lambda: other.gather("x", 2))
    assert found == [[{"a": [1]}, 2]] * 2
    assert both(lambda: one.agree("x", 1), lambda: other.agree("x", 1)) == [None] * 2


def test_the_first_field_that_differs_is_named_to_all(store: Store, pair: Pair) -> None:
    one, other = pair()
    found = both(
        lambda: one.agree("the plan", {"options": {"seed": 0}, "same": 1}),
        lambda: other.agree("the plan", {"options": {"seed": 7}, "same": 1}),
    )
    for error in found:
        assert isinstance(error, DisagreementError)
        assert isinstance(error, UsageError)
        assert "the plan of process 1" in str(error)
        assert "options.seed is 7, not 0" in str(error)


def test_steps_that_are_not_the_same_are_found_out(store: Store, pair: Pair) -> None:
    one, other = pair()
    found = both(lambda: one.gather("a", 0), lambda: other.gather("b", 0))
    assert all(isinstance(error, DisagreementError) for error in found)
    assert "is not where process" in str(found[0])


def test_processes_that_count_each_other_differently_do_not_wait(store: Store) -> None:
    nobody: Any = None
    found = both(
        lambda: Connected(store, 0, 2, lambda: nobody),
        lambda: Connected(store, 1, 3, lambda: nobody),
    )
    assert all(isinstance(error, DisagreementError) for error in found)
    assert "process 0 is one of 2, process 1 one of 3" in str(found[1])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("the disk is full"), "ended: ValueError the disk is full. Nothing"),
        (UsageError("devices is 9. Expected 1."), "ended: devices is 9. Expected 1. Nothing"),
    ],
)
def test_an_error_reaches_who_waits(store: Store, pair: Pair, error: Exception, said: str) -> None:
    one, other = pair()
    waiting = ThreadPoolExecutor(1).submit(one.gather, "x", 0)
    other.fail(error)
    with pytest.raises(PeerError, match="process 1 of 2") as found:
        waiting.result(10)
    assert said in str(found.value)
    one.fail(found.value)
    assert "spectra-known/1" not in store.values


def test_a_silent_process_counts_as_dead(store: Store, pair: Pair) -> None:
    one, other = pair()
    other._watch.stop()  # as if it were killed: nothing is said
    begin = time.monotonic()
    with pytest.raises(PeerError, match=r"process 1 of 2 .* has not been heard of for"):
        one.gather("x", 0)
    assert time.monotonic() - begin < 20


def test_who_computes_and_does_not_hear_is_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "GRACE", 0.1)
    ended = threading.Event()
    said: list[PeerError] = []

    def end(why: PeerError) -> None:
        said.append(why)
        ended.set()

    deaf, dying = Watch(store, 0, 2, end), Watch(store, 1, 2)
    dying.tell(RuntimeError("boom"))
    assert ended.wait(10)
    assert "ended: RuntimeError boom." in str(said[0])
    for one in (deaf, dying):
        one.stop()


def test_the_first_error_is_the_one_that_is_told(store: Store) -> None:
    one, other = Watch(store, 0, 3), Watch(store, 1, 3)
    third = Watch(store, 2, 3, lambda why: None)
    one.tell(ValueError("first"))
    other.tell(ValueError("second"))
    found = third.wait()
    assert found is not None
    assert "first" in str(found)
    assert "second" not in str(found)
    for each in (one, other, third):
        each.stop()


def test_process_0_waits_until_the_others_know(store: Store, pair: Pair) -> None:
    one, other = pair()
    one.fail(ValueError("boom"))
    assert "spectra-known/1" in store.values
    with pytest.raises(PeerError, match="boom"):
        other.gather("x", 1)


def test_what_jax_says_is_told_where_nothing_else_is_known(store: Store, pair: Pair) -> None:
    class Broken:
        def total(self, values: Any) -> Any:
            raise RuntimeError("Gloo all-reduce failed\nConnection closed by peer")

    one, other = pair(Broken())
    with pytest.raises(PeerError, match=r"lost the others: Gloo all-reduce failed Nothing"):
        one.total(np.zeros(1))
    store.gone = True
    with pytest.raises(PeerError, match=r"UNAVAILABLE: Socket closed"):
        other.gather("x", 1)
    assert one._watch.all_know()
