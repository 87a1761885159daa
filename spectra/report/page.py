"""The page: everything in one file of HTML, nothing fetched, every label escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from spectra import strict_json
from spectra._version import __version__
from spectra.printable import Names, printable
from spectra.report import measured
from spectra.report.charts import Figure
from spectra.report.choices import PRIMARY, Choice
from spectra.report.sources import Shown

FACES = {"Inter-Regular.ttf": 400, "Inter-SemiBold.ttf": 600}
_HERE = resources.files("spectra.report")

Option = dict[str, Any]


def page(
    title: str,
    models: Sequence[Shown],
    figures: Sequence[Figure],
    choices: Sequence[Choice],
    names: Names,
    unfinished: Sequence[str],
    libraries: str,
) -> str:
    """The HTML of a report; `libraries` is the bundle of Vega's scripts."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    initial = {choice.name: choice.initial for choice in choices}
    options = {choice.name: [value for value, _ in choice.options] for choice in choices}
    drawn = [_with_counts(figure, models, options) for figure in figures]
    script, libraries = _text("page.js"), libraries.replace("</script", "<\\/script")
    return environment.from_string(_text("page.html.j2")).render(
        version=__version__,
        title=printable(title),
        lead=_lead(models),
        fonts=Markup(font_faces()),
        style=Markup(_text("page.css")),
        script=Markup(script),
        libraries=Markup(libraries),
        scripts=Markup(f"{_allowed(libraries)} {_allowed(script)}"),
        data=Markup(_embedded([one for _, one in drawn])),
        figures=[
            {
                "name": figure.name,
                "title": figure.title,
                "about": figure.about,
                "alternative": figure.alternative,
                "controls": figure.controls,
                "counts": one["counts"].get(_key(figure, initial), ""),
            }
            for figure, one in drawn
        ],
        choices=choices,
        convention=measured.convention(models),
        measured=measured.overview(models),
        sentences=measured.sentences(models),
        warnings=measured.warnings(models, unfinished),
        tables=measured.numbers(models, names),
        provenance=[
            {"name": one.name, "text": strict_json.dumps(_provenance(one))} for one in models
        ],
    )


def font_faces() -> str:
    """CSS that carries the type of page and charts."""
    return "".join(
        f'@font-face {{ font-family: "Inter"; font-weight: {weight}; src: '
        f'url(data:font/ttf;base64,{_encoded(name)}) format("truetype"); }}\n'
        for name, weight in FACES.items()
    )


def _allowed(script: str) -> str:
    """The source that lets a browser run this inline script, and by it no other."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _encoded(name: str) -> str:
    return base64.b64encode((_HERE / "fonts" / name).read_bytes()).decode()


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _embedded(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _lead(models: Sequence[Shown]) -> str:
    what = f"{len(models)} models" if len(models) > 1 else models[0].name
    return (
        f"Effective rank and spectral decay of the hidden states of {what}: how many directions "
        "they use, and how fast the variance falls from one to the next, by segment, category and "
        "depth of the reasoning."
    )


def _with_counts(
    figure: Figure, models: Sequence[Shown], options: Mapping[str, Sequence[Any]]
) -> tuple[Figure, Option]:
    """The figure as the page's script reads it: data by columns, and n under each choice."""
    columns = list(dict.fromkeys(name for row in figure.rows for name in row))
    values = [[row.get(name) for name in columns] for row in figure.rows]
    counts = {}
    for layer in options["layer"] if "layer" in figure.controls else [""]:
        for pool in options["pool"] if "pool" in figure.controls else [""]:
            text = "; ".join(_counts(models, layer, pool))
            if text:
                counts[f"{layer}/{pool}"] = f"All rows together: {text}."
    return figure, {
        "name": figure.name,
        "spec": figure.spec,
        "controls": figure.controls,
        "data": {"columns": columns, "values": values},
        "counts": counts,
    }


def _key(figure: Figure, chosen: dict[str, Any]) -> str:
    return "/".join(
        str(chosen[name]) if name in figure.controls else "" for name in ("layer", "pool")
    )


def _counts(models: Sequence[Shown], layer: int | str, pool: str) -> Iterator[str]:
    """Of each model that has the layer and pool, its rows (of every pool if none) and traces."""
    for one in models:
        if layer == "":
            yield from _counts_by_layer(one, pool)
            continue
        number = layer if isinstance(layer, int) and layer != PRIMARY else one.result.primary
        names = [name for name in one.result.pools if (number, name) in one.result.folders]
        wholes = {
            name: one.result.pool(name, layer=number).record()
            for name in names
            if pool in ("", name)
        }
        if wholes:
            rows = ", ".join(f"{whole.num_rows:,} (pool {name})" for name, whole in wholes.items())
            traces = {whole.num_traces for whole in wholes.values()} - {None}
            yield f"{one.name}, layer {number}: n = {rows}" + "".join(
                f" in {t:,} traces" for t in traces
            )


def _counts_by_layer(one: Shown, pool: str) -> Iterator[str]:
    """Of a model with several layers and the pool, its rows and traces in each of them."""
    if one.profile is not None and pool in one.profile.pools:
        wholes = [point.record for point in one.profile.points(pool)]
        rows = _range([whole.num_rows for whole in wholes])
        traces = [whole.num_traces for whole in wholes if whole.num_traces is not None]
        text = f"{one.name}: n = {rows} (pool {pool})"
        text += f" in {_range(traces)} traces" if traces else ""
        yield f"{text} in each of {len(wholes)} layers"


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _provenance(one: Shown) -> dict[str, Any]:
    """run.json without the list of its outputs' hashes."""
    return {name: value for name, value in one.result.run.items() if name != "outputs"}
