"""The C library's heap: asked where it can be, and left as it was."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from extract import heap

GLIBC = platform.libc_ver()[0] == "glibc"


def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """What the C library is asked from now on."""
    calls: list[tuple[str, tuple[int, ...]]] = []

    def of_c_library(name: str) -> Callable[..., None]:
        return lambda *numbers: calls.append((name, numbers))

    monkeypatch.setattr(heap, "_of_c_library", of_c_library)
    return calls


def test_the_functions_are_found_where_they_are() -> None:
    for name in ("malloc_trim", "mallopt"):
        assert (heap._of_c_library(name) is not None) == GLIBC


def test_trimming_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked(monkeypatch)
    heap.trim_heap()
    assert calls == [("malloc_trim", (0,))]


def test_keeping_ends_as_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asked(monkeypatch)
    inside: list[tuple[str, tuple[int, ...]]] = []

    def work() -> None:
        with heap.kept_heap():
            inside.extend(calls)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    *ended, last = calls[len(inside) :]
    assert last == ("malloc_trim", (0,))
    assert {name for name, _ in inside + ended} == {"mallopt"}
    set_to, reset_to = ({numbers[0]: numbers[1] for _, numbers in some} for some in (inside, ended))
    assert set(set_to.values()) == {2**31 - 1}
    assert set(reset_to) == set(set_to)
    assert all(value < 2**31 - 1 for value in reset_to.values())


def test_without_the_functions_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_of_c_library", lambda _: None)
    heap.trim_heap()
    with heap.kept_heap():
        pass


FAULTS = """
import resource
import numpy as np
from extract.heap import kept_heap

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(40_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

before = faults()
with kept_heap():
    faults()
    within = faults()
print(before, within, faults())
"""


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")
def test_what_is_kept_is_not_mapped_anew() -> None:
    """Large arrays, made and freed: each is zeroed by the system but within."""
    # NumPy's own advice about huge pages would hide how many pages come.
    run = subprocess.run(
        [sys.executable, "-c", FAULTS],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"},
    )
    before, within, after = map(int, run.stdout.split())
    assert within < before / 10
    assert after > before / 2
