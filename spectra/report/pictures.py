"""Vega's scripts for the page, and the charts as SVG, PDF and PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import altair as alt
import vl_convert

from spectra.atomic import write_bytes
from spectra.report.charts import Figure
from spectra.report.page import font_faces

WIDTH = 640
VERSION = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""The Vega-Lite that Altair's specifications are of."""


def libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return str(vl_convert.javascript_bundle(vl_version=VERSION))  # type: ignore[call-arg]  # its stub


def write_pictures(figures: Sequence[Figure], directory: Path) -> Iterator[Path]:
    """Each chart, as the page first shows it, as NAME.svg, NAME.pdf and NAME.png; the paths."""
    with resources.as_file(resources.files("spectra.report") / "fonts") as fonts:
        vl_convert.register_font_directory(str(fonts))
        for figure in figures:
            spec = figure.alone(WIDTH)
            svg = vl_convert.vegalite_to_svg(spec, vl_version=VERSION)
            for kind, content in (
                ("svg", _with_fonts(svg).encode()),
                ("pdf", vl_convert.vegalite_to_pdf(spec, vl_version=VERSION)),
                ("png", vl_convert.vegalite_to_png(spec, vl_version=VERSION, scale=2)),
            ):
                path = directory / f"{figure.name}.{kind}"
                write_bytes(path, content)
                yield path


def _with_fonts(svg: str) -> str:
    """With the type that it is set in."""
    head, rest = svg.split(">", 1)
    return f"{head}><style>{font_faces()}</style>{rest}"
