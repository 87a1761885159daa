"""What commands with a document and a table of their own have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra.cli._text import complain, document, say

if TYPE_CHECKING:
    from rich.table import Table


def only_writer(out: Path, name: str) -> AbstractContextManager[None]:
    """The lock of the document `name` in `out`, held from before the computing to the end."""
    from spectra.lock import locked

    return locked(out, f"{Path(name).stem}.lock", required=False)


def deliver(
    out: Path,
    content: tuple[str, dict[str, Any]],
    table: tuple[str, bytes],
    shown: Callable[[], Iterable[Table]],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a named document and a named table under `out`, together, and print them.

    As one JSON document, or as the tables that `shown` makes; warnings go to stderr.
    """
    from spectra import strict_json
    from spectra.atomic import write_together

    text = strict_json.dumps(content[1])
    files = {out / table[0]: table[1], out / content[0]: text.encode()}
    write_together(files, marker=out / content[0])
    if not quiet:
        for warning in content[1]["warnings"]:
            complain(f"Warning: {warning}")
    if as_json:
        document(text)
    elif not quiet:
        from spectra.cli._tables import print_table

        for one in shown():
            print_table(one)
        say(f"Results: {out}/ ({content[0]}, {table[0]})")
