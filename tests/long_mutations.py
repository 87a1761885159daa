"""`python -m tests.long_mutations --count 20000 --seed 1`: damaged files in bulk.

A trial depends on the seed and its number alone: `--only NUMBER` makes one again. The first
failure ends the run with its traceback, the number and what was done.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.mutation.subject import Subject
from tests.mutation.trial import PATIENCE, QUICK, SLOW, Bench, Outcome, memory

SLOW_EVERY = 200
"""One trial in so many runs to the metric files or to a page."""

USE_EVERY = 10
"""One of the others in so many uses what it reads, and does not only read it."""

WARM = 1000
"""Trials after which memory may grow no more than `GROWTH`."""

GROWTH = 100 << 20


def trial(bench: Bench, seed: int, number: int, *, slow: bool = True) -> tuple[Subject, Outcome]:
    """Trial `number` of the series `seed`."""
    rng = random.Random(f"{seed}/{number}")
    if slow and number % SLOW_EVERY == 0:
        subject, use = rng.choices(SLOW, [one.weight for one in SLOW])[0], True
    else:
        subject, use = rng.choices(QUICK, [one.weight for one in QUICK])[0], number % USE_EVERY == 0
    try:
        return subject, bench.trial(subject, rng, use=use)
    except BaseException as error:
        error.add_note(f"trial {number} of seed {seed}")
        raise


def main() -> None:
    """Run the trials and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one trial of the series")
    given = parser.parse_args()
    numbers = range(given.count) if given.only is None else range(given.only, given.only + 1)
    outcomes: Counter[tuple[str, str]] = Counter()
    begin, warm = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        for done, number in enumerate(numbers):
            # Where even the watch's exception is not seen, as within C code.
            faulthandler.dump_traceback_later(4 * PATIENCE, exit=True)
            subject, outcome = trial(bench, given.seed, number)
            outcomes[subject.name, outcome.kind] += 1
            if done == WARM:
                warm = memory("VmRSS")
        faulthandler.cancel_dump_traceback_later()
    _tell(outcomes, time.perf_counter() - begin, warm, bench.peak)


def _tell(outcomes: Counter[tuple[str, str]], seconds: float, warm: int, peak: int) -> None:
    total, held, worked = outcomes.total(), memory("VmRSS"), time.process_time()
    for (subject, kind), count in sorted(outcomes.items(), key=lambda item: (item[0][0], -item[1])):
        sys.stdout.write(f"{subject:14} {count:6}  {kind}\n")
    sys.stdout.write(
        f"{total:,} trials in {seconds:,.0f} s ({worked:,.0f} s of work, {total / worked:.0f} a "
        f"second); {held / 1e6:.0f} MB held, {peak / 1e6:.0f} MB at the peak\n"
    )
    if warm:
        sys.stdout.write(f"{(held - warm) / 1e6:+.0f} MB since trial {WARM:,}\n")
        assert held - warm <= GROWTH, "memory grows"


if __name__ == "__main__":
    main()
