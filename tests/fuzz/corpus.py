"""Inputs kept for the tests, one a line in base64, and `python -m tests.fuzz.corpus TARGET CORPUS`.

That command keeps, of a fuzzer's corpus and of what is kept already, the smallest inputs that
together take every step from line to line that any of them takes.
"""

from __future__ import annotations

import base64
import importlib
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = Path(__file__).parent / "kept"
ROOT = Path(__file__).parents[2]
LARGEST = 4000
"""Bytes of an input that is kept."""

Steps = set[tuple[str, int, int]]
"""A file, and two lines of it that ran one after the other in one call."""


def kept(target: str) -> list[bytes]:
    """The inputs kept for a target."""
    path = FOLDER / f"{target}.txt"
    return [base64.b64decode(line) for line in path.read_text().split()] if path.exists() else []


def main() -> None:
    """Choose what is kept for a target, and say how much it reaches."""
    target, corpus = sys.argv[1:]
    every = {*kept(target), *(file.read_bytes() for file in Path(corpus).iterdir())}
    chosen, reached = list[bytes](), Steps()
    for data in sorted((data for data in every if len(data) <= LARGEST), key=lambda d: (len(d), d)):
        steps = steps_of(target, data)
        if steps - reached:
            reached |= steps
            chosen.append(data)
    FOLDER.mkdir(exist_ok=True)
    lines = [base64.b64encode(data).decode() + "\n" for data in chosen]
    (FOLDER / f"{target}.txt").write_text("".join(lines))
    sys.stdout.write(
        f"{target}: {len(chosen)} of {len(every)} inputs, {len(reached)} steps between lines\n"
    )


def steps_of(target: str, data: bytes) -> Steps:
    """What of the two packages an input runs."""
    targets: Any = importlib.import_module("tests.fuzz.targets")
    found = Steps()
    last: dict[FrameType, int] = {}
    packages = (str(ROOT / "spectra"), str(ROOT / "extract"))

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            found.add((frame.f_code.co_filename, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(packages) else None

    with tempfile.TemporaryDirectory() as directory:
        sys.settrace(trace)
        try:
            targets.run(targets.TARGETS[target], data, Path(directory))
        finally:
            sys.settrace(None)
    return found


if __name__ == "__main__":
    main()
