"""The rates of a plan: measured here and now, read from a file, or given one by one."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from spectra import strict_json
from spectra.backend import Backend, one_thread_blas, usable_cores
from spectra.cli._estimate import measure
from spectra.engine.clock import Clock
from spectra.engine.workers import Workers
from spectra.errors import UsageError
from spectra.grouping import Group
from spectra.linalg import F64, Axes
from spectra.planning import Rates
from spectra.sampling import nested_sample

NETWORK = 1.25e9
"""Bytes a second that are assumed where none are given: 10 Gbit/s."""

SMALLEST, LARGEST = 1e-150, 1e150
"""Of rates in a file: what follows from them stays within the range of a double."""

_LARGE, _ROWS, _KEYS = 384, 512, 1 << 20
_SCRATCH = 1 << 25
"""Bytes that are written, and read again from the disk."""


def measured(backend: Backend, dim: int) -> tuple[Rates, str]:
    """What this machine does just now, in about a second, and how that is known."""
    rates = measure(backend, dim)
    large = max(min(dim, _LARGE), 2)
    with one_thread_blas():
        at_large, weigh = _axes(backend, large)
        at_small, _ = _axes(backend, max(large // 4, 1))
    cubic = max(at_large - at_small, 0.0) / (large**3 - max(large // 4, 1) ** 3)
    how = (
        f"measured just now on this machine ({platform.machine()}, {usable_cores()} cores, "
        f"{backend.name}) at a width of {min(dim, 1024):,} or less, where a large width may be "
        "faster, and as a device of its own"
    )
    found = Rates(
        multiply=2 * rates.flops,
        weigh=weigh,
        reduce=rates.cubic,
        reduce_constant=rates.constant,
        axes=cubic,
        axes_constant=max(at_small - cubic * max(large // 4, 1) ** 3, 0.0),
        disk=_disk(),
        network=NETWORK,
        keys=_KEYS / _seconds(_draw),
    )
    return found, how


def read(path: Path) -> Rates:
    """From a file: the `rates` of a plan's JSON document, or such an object alone."""
    try:
        document = strict_json.loads(path.read_bytes(), where=str(path))
    except OSError as error:
        raise UsageError(
            f"--rates {path}: {error.strerror}. Expected a file with the rates of `spectra plan "
            "--json`."
        ) from None
    held = document.get("rates", document) if isinstance(document, dict) else None
    names = {field.name for field in fields(Rates)}
    if not isinstance(held, dict) or not held.keys() <= names:
        raise UsageError(f"--rates {path}: expected one object with {', '.join(sorted(names))}.")
    least = {field.name for field in fields(Rates) if not field.name.endswith("_constant")}
    missing = sorted(least - held.keys())
    if missing:
        raise UsageError(f"--rates {path}: {', '.join(missing)} missing. Expected each of them.")
    numbers: dict[str, float] = {}
    for name, value in held.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= LARGEST:
            numbers[name] = float(value)
        if not (SMALLEST if name in least else 0.0) <= numbers.get(name, -1.0) <= LARGEST:
            shown = ascii(value)[:40]
            raise UsageError(f"--rates {path}: {name} is {shown}. Expected a positive number.")
    return Rates(**numbers)


def _axes(backend: Backend, dim: int) -> tuple[float, float]:
    """Seconds of a decomposition of this size, and operations a second of weighing by axes."""
    rng, shift, count = np.random.default_rng(2), np.zeros(dim), 2 * usable_cores()
    rows = rng.standard_normal((max(_ROWS, 2 * dim), dim))
    sums = backend.accumulate(backend.zeros(dim), rows, shift)
    block = rows[:_ROWS]
    made: list[Axes] = []

    def weights(values: F64, number: int) -> F64:
        return np.zeros((1, len(values)))

    def side_by_side(task: Callable[[], Any]) -> Callable[[], None]:
        def all_of_them() -> None:
            with Workers(Clock()) as workers:
                for future in [workers.submit(task) for _ in range(count)]:
                    made[:] = [future.result()]

        return all_of_them

    found = _seconds(side_by_side(lambda: backend.axes(sums, shift, True, weights))) / count
    axes = made[0]
    weigh = _seconds(side_by_side(lambda: backend.carried(block, [axes]))) / count
    return found, 2 * len(block) * dim**2 / weigh


def _draw() -> None:
    nested_sample(Group("global"), _KEYS, 4096, "all", 0, 0)


def _disk() -> float:
    """Bytes a second of a file that was just written and, where the system can, forgotten."""
    with tempfile.TemporaryFile() as stream:
        stream.write(np.random.default_rng(0).bytes(_SCRATCH))
        stream.flush()
        os.fsync(stream.fileno())
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        begin = time.perf_counter()
        for start in range(0, _SCRATCH, 1 << 23):
            os.pread(stream.fileno(), 1 << 23, start)
        return _SCRATCH / max(time.perf_counter() - begin, 1e-6)


def _seconds(call: Callable[[], None]) -> float:
    """The shorter of two timings, after a first call that warms up."""
    call()
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return max(min(times), 1e-9)
