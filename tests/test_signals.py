"""What signals do to a command: the first ends it in order, a second at once."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from spectra.cli import _signals
from spectra.cli._signals import Listener, Stopped


@pytest.fixture
def listener() -> Iterator[Listener]:
    """In a process that ignores none of the signals, as one that a terminal starts."""
    before = {signum: signal.getsignal(signum) for signum in _signals.SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    one = Listener()
    one.listen()
    yield one
    one.close()
    for signum, handler in before.items():
        signal.signal(signum, handler)


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)
    time.sleep(5)  # which the signal cuts short


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_the_first_is_an_exception_with_the_shells_exit_code(
    listener: Listener, name: str, code: int
) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt, match=name) as caught:
        send(signal.Signals[name])
    assert isinstance(caught.value, Stopped)
    assert caught.value is listener.stopped
    assert caught.value.exit_code == code
    assert threading.active_count() == before


def test_a_second_ends_the_process_at_once_and_an_echo_of_the_first_does_not(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(_signals, "SAME", 0.2)
    monkeypatch.setattr(os, "_exit", codes.append)
    with pytest.raises(Stopped, match="SIGTERM"):
        send(signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.3)
    assert codes == []
    os.kill(os.getpid(), signal.SIGINT)
    wait_for(lambda: bool(codes))
    assert codes == [130]
    assert capfd.readouterr().err == "Stopped at once by SIGINT.\n"


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)


def test_one_that_a_callback_swallows_is_raised_again(listener: Listener) -> None:
    """Python drops what is raised in such callbacks, and JAX has one."""

    def interrupted(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and listener.stopped is None:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # the signal is handled between two of these
                pass

    gc.callbacks.append(interrupted)
    try:
        gc.collect()
        assert listener.stopped is not None
        with pytest.raises(Stopped, match="SIGINT"):
            time.sleep(20)
    finally:
        gc.callbacks.remove(interrupted)


def test_other_errors_of_callbacks_are_told_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: seen.append(lost.exc_value))
    one, error = Listener(), ValueError("lost")
    one.listen()
    try:

        def fail(phase: str, info: dict[str, int]) -> None:
            if not seen:
                raise error

        gc.callbacks.append(fail)
        gc.collect()
        gc.callbacks.remove(fail)
    finally:
        one.close()
    assert seen == [error]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As SIGHUP is under nohup, and SIGINT in a job that a shell started in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    one = Listener()
    one.listen()
    try:
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGHUP)
        assert one.stopped is None
    finally:
        one.close()
        signal.signal(signal.SIGHUP, before)


def test_afterwards_signals_are_handled_as_before() -> None:
    before = [signal.getsignal(signum) for signum in _signals.SIGNALS]
    one = Listener()
    one.listen()
    one.close()
    assert [signal.getsignal(signum) for signum in _signals.SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
