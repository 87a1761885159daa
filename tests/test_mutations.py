"""Files damaged at random are read as they are, or refused with one clean error (`tests.mutation`).

CONTRIBUTING.md has the long run.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.long_mutations import trial
from tests.mutation.trial import Bench

SEED, COUNT = 1, 500


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("damaged"))


def test_damaged_files_are_read_or_refused(bench: Bench) -> None:
    kinds: Counter[str] = Counter()
    for number in range(1, COUNT + 1):
        _, outcome = trial(bench, SEED, number)
        kinds[outcome.kind] += 1
    assert kinds.total() == COUNT
    assert {"identical", "other content"} < kinds.keys()
    assert len(kinds) > 25
