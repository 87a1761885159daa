"""Draws what `python -m bench.svd_vs_cov --save X.json` kept, as X.svg beside it.

`python -m bench.picture X.json` is for figures from machines without Altair.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from bench import _shell
from spectra import strict_json
from spectra.atomic import write_bytes
from spectra.errors import SpectraError
from spectra.extras import require

MAX_BYTES = 1 << 26

app = typer.Typer(add_completion=False)


@app.command()
def main(saved: Annotated[Path, typer.Argument(help="JSON kept by bench.svd_vs_cov.")]) -> None:
    """Draw X.json as X.svg."""
    try:
        document = cast("dict[str, Any]", strict_json.load(saved, max_bytes=MAX_BYTES))
        if not _drawable(document):
            raise typer.BadParameter(
                f"{saved}: expected cells with a condition number, as python -m bench.svd_vs_cov "
                "--save keeps them. Measure again if an earlier version wrote it"
            )
        draw(document, saved.with_suffix(".svg"))
    except SpectraError as error:
        raise _shell.ended_by(error) from None
    typer.echo(str(saved.with_suffix(".svg")))


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write the picture; raises `MissingExtraError` where a package for it is not installed."""
    for module in ("altair", "vl_convert"):
        require(module, "report")
    from bench import _picture

    write_bytes(path, _picture.svg(document).encode())


def _drawable(document: dict[str, Any]) -> bool:
    try:
        return document["card"]["bench"] == "svd_vs_cov" and "condition" in document["cells"][0]
    except (KeyError, IndexError, TypeError):
        return False


if __name__ == "__main__":
    app()
