"""Which hidden states a run without SRC uses."""

from __future__ import annotations

from pathlib import Path

from spectra.cli._text import complain

DEFAULT_SOURCE = Path("annotated_traces_reprs")
EMBEDDED = Path(__file__).parents[1] / "embedded"
"""The parent of the embedded model directory; `make embedded` writes it anew."""


def source(given: str | None, *, quiet: bool) -> str | Path:
    """SRC as given; else ./annotated_traces_reprs where that exists; else the embedded default.

    Says on stderr which one is used.
    """
    if given is not None:
        return given
    here = DEFAULT_SOURCE.exists()
    if not quiet:
        complain(
            f"No SRC given: using ./{DEFAULT_SOURCE}."
            if here
            else f"No SRC given and no ./{DEFAULT_SOURCE} here: using the embedded default, states "
            "of SmolLM2-135M-Instruct."
        )
    return DEFAULT_SOURCE if here else EMBEDDED
