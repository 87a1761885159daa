"""Wall times of tasks that take turns, so that a change of load meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeVar

import jax

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")

ENOUGH_SECONDS = 0.3
MOST_RUNS = 50


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of wall time over a number of runs after one warm-up."""

    median: float
    min: float
    max: float
    runs: int

    def asdict(self) -> dict[str, float]:
        """The fields, to the digits that timings bear."""
        return {name: figure(value) for name, value in asdict(self).items()}


def take_turns(
    tasks: Mapping[Name, Callable[[], Result]], repeats: int, pause: float = 0.0
) -> tuple[dict[Name, Result], dict[Name, Timing]]:
    """Each task's result and timing: a warm-up each, then rounds of one run each.

    At least `repeats` rounds; short tasks get more, until rounds took `ENOUGH_SECONDS` together. A
    run ends when its JAX arrays are there. `pause` is the seconds before each run: BLAS threads
    spin for some hundredths after a call, on the cores that the next task would have.
    """
    results = {name: jax.block_until_ready(task()) for name, task in tasks.items()}
    seconds: dict[Name, list[float]] = {name: [] for name in tasks}
    begin, rounds = time.perf_counter(), 0
    while rounds < repeats or (rounds < MOST_RUNS and time.perf_counter() - begin < ENOUGH_SECONDS):
        for name, task in tasks.items():
            time.sleep(pause)
            start = time.perf_counter()
            jax.block_until_ready(task())
            seconds[name].append(time.perf_counter() - start)
        rounds += 1
    timings = {
        name: Timing(median(times), min(times), max(times), len(times))
        for name, times in seconds.items()
    }
    return results, timings


def figure(value: float) -> float:
    """A measured value to four significant digits."""
    return float(f"{value:.4g}")
