"""The picture of bench.svd_vs_cov: well-formed, whole, and drawn from a saved file too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from bench import picture, svd_vs_cov
from bench._picture import COLOURS, LEAST_ERROR, ROUTES, svg
from spectra.extras import MissingExtraError

DIMS, ASPECTS = (8, 16), (1, 4)


def cell(spectrum: str, dim: int, aspect: int) -> dict[str, Any]:
    condition = dict.fromkeys(ROUTES, 1e3)
    ways = {
        way: {
            "time_over_engine": 1.0 + place,
            "rank_error": dict.fromkeys(ROUTES, place * 1e-12),
            "value_error": dict.fromkeys(ROUTES, place * 1e-6),
        }
        for place, way in enumerate(COLOURS)
    }
    return {
        "spectrum": spectrum,
        "dim": dim,
        "rows": aspect * dim,
        "condition": condition,
        "engine_method": "svd" if aspect > 1 else "rows",
        "ways": ways,
    }


@pytest.fixture
def document() -> dict[str, Any]:
    spectra = ("condition_1e3", "large_mean")
    return {
        "card": {
            "bench": "svd_vs_cov",
            "sizes": {"rows_x_dim": ["8x8", "32x8", "16x16", "64x16"], "backend": "cpu"},
            "hardware": {"cpu": "a processor", "cores": 2, "jax_devices": ["cpu: cpu"]},
            "date": "2026-01-02T03:04:05+00:00",
            "commit": None,
        },
        "cells": [cell(s, dim, aspect) for s in spectra for dim in DIMS for aspect in ASPECTS],
    }


def test_every_way_has_its_marks_and_every_axis_its_title(document: dict[str, Any]) -> None:
    root = ElementTree.fromstring(svg(document))
    fills = [path.get("fill") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    # One of time and one of each error and route for every cell, and one in the legend.
    for colour in COLOURS.values():
        assert fills.count(colour) == len(document["cells"]) * (1 + 2 * len(ROUTES)) + 1
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    titles = {"n/d", "time / the engine's", "condition number of the sample", "relative error"}
    assert titles | {"NumPy float64", "d = 8", "d = 16", "large mean"} <= set(texts)
    assert any(f"{LEAST_ERROR:.0e}" in text for text in texts)
    assert any("8x8, 32x8, 16x16, 64x16" in text for text in texts)
    assert float(root.attrib["width"]) <= 900


def test_a_saved_file_is_drawn_beside_itself(document: dict[str, Any], tmp_path: Path) -> None:
    saved = tmp_path / "x.json"
    saved.write_text(json.dumps(document), encoding="utf-8")
    done = CliRunner().invoke(picture.app, [str(saved)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{saved.with_suffix('.svg')}\n"
    assert saved.with_suffix(".svg").read_text(encoding="utf-8") == svg(document)


@pytest.mark.parametrize("text", ["[]", '{"card": {"bench": "other"}}', None])
def test_other_files_are_refused(text: str | None, tmp_path: Path) -> None:
    saved = tmp_path / "x.json"
    if text is not None:
        saved.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(picture.app, [str(saved)])
    assert done.exit_code in (2, 3)
    assert not saved.with_suffix(".svg").exists()


@pytest.mark.parametrize("module", ["altair", "vl_convert"])
def test_without_the_extra_figures_are_kept_and_the_error_tells_what_to_install(
    document: dict[str, Any],
    module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r'pip install "spectra-metrics\[report\]"'):
        picture.draw(document, tmp_path / "x.svg")
    svd_vs_cov.draw(document, tmp_path / "x.json")
    assert "python -m bench.picture" in capsys.readouterr().err
    assert not (tmp_path / "x.svg").exists()
