"""Data that lies beside the checkout and not in it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    """The file or directory ../shared/data/`name`; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("../shared/data is absent, as in any fresh clone")
    return path
