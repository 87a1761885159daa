"""Results of a run to damage: loaded, or made into tables and a page."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import spectra
from spectra.outputs import RUN_FILE
from spectra.report import write_report
from spectra.results import load_all
from spectra.tables import as_markdown, wide
from spectra.tables.latex import latex
from tests.mutation.artifacts import CONFIG, write_small
from tests.mutation.file_edits import Place
from tests.mutation.subject import Parts, Subject

_METRICS = ("rankme", "rankme_sigma", "alpha_req")


def _write(path: Path) -> None:
    """Both layers."""
    inputs = path.parent / "inputs"
    write_small(inputs / path.name)
    spectra.run(inputs, path.parent, replace(CONFIG, layers="all"))


def _load(path: Path) -> Parts:
    for model in spectra.load(path).values():
        yield f"{model.name} {model.layers} {model.pools} {model.warnings}"
        for pool in model.every_pool():
            yield repr(list(pool.rows()))
        if len(model.layers) > 1:
            yield repr([list(model.layer_profile.groups(pool)) for pool in model.pools])
            yield model.layer_profile._repr_html_()


def _tables(path: Path) -> Parts:
    frame = load_all([path]).frame()
    yield frame.write_csv()
    table = wide(frame, _METRICS)
    yield as_markdown(table)
    yield latex(table)
    (model,) = spectra.load(path).values()
    yield repr(model)
    yield model._repr_html_()


def _page(path: Path) -> Parts:
    (page,) = write_report([path], path.parent / "report.html")
    yield page.read_bytes()


def _rehash(place: Place, rng: random.Random) -> None:
    """Three times in four, run.json lists the hashes of what is there now."""
    if rng.random() < 0.25:
        return
    try:
        run: Any = json.loads(place.bytes_of(RUN_FILE))
        for name, data in place.now().items():
            if name in run["outputs"] and data is not None:
                run["outputs"][name] = hashlib.sha256(data).hexdigest()
        text = json.dumps(run).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    place.write(RUN_FILE, text)


LOADED = Subject("results", 1, _write, _load, _tables, reseal=_rehash)
PAGE = Subject("page", 1, _write, _load, _page, reseal=_rehash)
