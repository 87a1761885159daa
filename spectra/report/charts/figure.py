"""A figure: a chart's specification, its data, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spectra.report.charts._style import Chart, config
from spectra.report.choices import Choice
from spectra.report.values import Fields


@dataclass(frozen=True, slots=True)
class Figure:
    """One chart of the report.

    Attributes:
        name: a word for files and anchors.
        title: what it shows.
        about: how to read it, a sentence or two.
        alternative: the picture in words, for those who do not see it.
        controls: the page's choices that it follows.
        rows: its data.
        spec: Vega-Lite, with its data left out.
    """

    name: str
    title: str
    about: str
    alternative: str
    controls: Sequence[str]
    rows: Sequence[Fields]
    spec: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        chart: Chart,
        rows: Sequence[Fields],
        *,
        name: str,
        title: str,
        about: str,
        alternative: str,
    ) -> Figure:
        """From an Altair chart of the data named "rows", as wide as its place."""
        spec = chart.properties(width="container").to_dict(validate=False)
        fitting = {"type": "fit-x", "contains": "padding"}
        spec |= {"config": config(), "autosize": fitting}
        controls = [one["name"] for one in spec["params"]]
        return cls(name, title, about, alternative, controls, rows, spec)

    def starting(self, choices: Sequence[Choice]) -> Figure:
        """With what is chosen at first."""
        first = {choice.name: choice.initial for choice in choices}
        params = [{**one, "value": first[one["name"]]} for one in self.spec["params"]]
        return replace(self, spec={**self.spec, "params": params})

    def alone(self, width: int) -> dict[str, Any]:
        """The specification with its data and a width, for a picture of its own."""
        data = {**self.spec["data"], "values": list(self.rows)}
        return {**self.spec, "width": width, "data": data, "background": "white"}
