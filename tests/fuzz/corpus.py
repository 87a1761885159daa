"""Inputs that a fuzzer kept, one a line in base64: those that reach most, and all that failed."""

from __future__ import annotations

import base64
from pathlib import Path

FOLDER = Path(__file__).parent / "kept"


def kept(target: str) -> list[bytes]:
    """The inputs kept for a target."""
    path = FOLDER / f"{target}.txt"
    return [base64.b64decode(line) for line in path.read_text().split()] if path.exists() else []


def keep(target: str, inputs: list[bytes]) -> None:
    """Replace what is kept for a target."""
    lines = sorted({base64.b64encode(data).decode() for data in inputs}, key=lambda s: (len(s), s))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{target}.txt").write_text("".join(line + "\n" for line in lines))
