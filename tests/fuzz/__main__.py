"""`python -m tests.fuzz TARGET CORPUS [libFuzzer's flags]`: fuzz one target with Atheris.

CORPUS is a directory that the inputs of interest are kept in; seeds and the kept corpus are put
there first. Atheris is no dependency of the project: CONTRIBUTING.md says how to install it.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import sys
import tempfile
from pathlib import Path

from tests.mutation import byte_edits, json_edits

_SHARED_MEMORY = Path("/dev/shm")
_DEFAULTS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=20000", "-print_final_stats=1")


def main() -> None:
    """Fuzz until a flag says to stop, or an input fails."""
    name, corpus, *flags = sys.argv[1:]
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["spectra", "extract", "tomllib", "json"]):
        targets = importlib.import_module("tests.fuzz.targets")
    target = targets.TARGETS[name]
    _fill(Path(corpus), name)
    parent = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=parent) as scratch:
        directory = Path(scratch)

        def once(data: bytes) -> None:
            targets.run(target, data, directory)

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            return _mutated(data, random.Random(seed), atheris.Mutate, max_size)

        atheris.Setup([sys.argv[0], *_DEFAULTS, *flags, corpus], once, custom_mutator=mutate)
        atheris.Fuzz()


def _fill(corpus: Path, name: str) -> None:
    from tests.fuzz.corpus import kept
    from tests.fuzz.seeds import seeds

    corpus.mkdir(parents=True, exist_ok=True)
    for data in (*seeds(name), *kept(name)):
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)


def _mutated(data: bytes, rng: random.Random, mutate: object, max_size: int) -> bytes:
    """libFuzzer's own edit, one of ours of the bytes, or one or two of the JSON in them."""
    assert callable(mutate)
    kind = rng.random()
    if kind < 0.35:
        changed: bytes = mutate(data, max_size)
    elif kind < 0.5:
        changed, _ = byte_edits.edit(data, rng)
    else:
        changed, _ = json_edits.edit_inside(data, rng)
    return changed[:max_size]


if __name__ == "__main__":
    main()
