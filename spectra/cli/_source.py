"""Which hidden states a run without SRC uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from spectra.cli._text import complain

DEFAULT_SOURCE = Path("annotated_traces_reprs")


@contextmanager
def source(given: Path | None, *, quiet: bool) -> Iterator[Path]:
    """SRC as given; else ./annotated_traces_reprs where that exists; else the embedded default.

    The embedded default is written anew to a temporary directory that is removed at the end; it
    has the same bytes every time. Says on stderr which one is used.
    """
    if given is not None:
        yield given
        return
    if DEFAULT_SOURCE.exists():
        _tell(f"No SRC given: using ./{DEFAULT_SOURCE}.", quiet)
        yield DEFAULT_SOURCE
        return
    from extract.synthetic import DIM, write_synthetic

    _tell(
        f"No SRC given and no ./{DEFAULT_SOURCE} here: using the embedded default, synthetic "
        "states of known spectra.",
        quiet,
    )
    with TemporaryDirectory(prefix="spectra-") as directory:
        yield write_synthetic(Path(directory) / f"synthetic-{DIM}")


def _tell(text: str, quiet: bool) -> None:
    if not quiet:
        complain(text)
