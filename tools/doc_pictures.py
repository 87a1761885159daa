"""Draws docs/pictures/*.svg, a picture for each section of docs/statistics.md.

`make docs` runs it; it needs the extra `report`. The numbers are those of `tools/doc_numbers.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from spectra.report.charts._style import COLOURS  # noqa: E402 - found by the line above
from spectra.report.pictures import VERSION  # noqa: E402
from tools import doc_numbers as numbers  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 340, 150
GREY = "#999999"

Chart = alt.Chart | alt.LayerChart | alt.HConcatChart
Rows = Sequence[Mapping[str, Any]]

LOG_RANKS = [1, 3, 10, 30, 100, 256]


def _data(rows: Rows) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def _log_scale(values: Sequence[float]) -> alt.Scale:
    return alt.Scale(type="log", domain=[values[0], values[-1]], nice=False, clamp=True)


def _log(values: Sequence[float], title: str, axis: type[alt.X] | type[alt.Y], field: str) -> Any:
    """A logarithmic axis with ticks at these values, which it reaches to and no further."""
    return axis(
        f"{field}:Q", title=title, scale=_log_scale(values),
        axis=alt.Axis(values=list(values), format="~g", labelOverlap=False),
    )  # fmt: skip


def _what(names: Sequence[str], **rest: Any) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=list(COLOURS[: len(names)]))
    return alt.Color("what:N", title=None, scale=scale, **rest)


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(str(row["what"]) for row in rows))


def _spectra(curves: Rows, marks: Rows) -> Chart:
    """Shares over ranks, with a rule where each effective rank is."""
    names = _names(marks)
    x = _log(LOG_RANKS, "rank", alt.X, "rank")
    y = _log([0.0001, 0.001, 0.01, 0.1, 1], "share p", alt.Y, "value")
    line = _data(curves).mark_line().encode(x, y, _what(names))
    at = alt.X("value:Q", scale=_log_scale(LOG_RANKS))
    rules = _data(marks).mark_rule(strokeDash=[4, 3]).encode(at, color=_what(names))
    text = (
        _data(marks)
        .mark_text(align="right", dx=-4, dy=8, baseline="top")
        .encode(at, y=alt.value(0), text=alt.Text("value:Q", format=".1f"), color=_what(names))
    )
    return alt.layer(line, rules, text)


def _fit(points: Rows, line: Rows, found: Mapping[str, Any], colour: str, width: int) -> Chart:
    title = f"{found['what']}: alpha {found['alpha']:.2f}, R² {found['r2']:.3f}"
    x = _log(LOG_RANKS, "rank", alt.X, "rank")
    y = _log([0.001, 0.01, 0.1, 1, 10], "eigenvalue", alt.Y, "value")
    return (
        alt.layer(
            _data(points).mark_circle(color=colour, size=16, opacity=1).encode(x, y),
            _data(line).mark_line(color="black").encode(x, y),
        ).properties(title=alt.TitleParams(title, anchor="start"), width=width, height=HEIGHT)
    )  # fmt: skip


def rankme() -> Chart:
    """Three power laws and their effective ranks."""
    return _spectra(*numbers.effective_ranks())


def rankme_sigma() -> Chart:
    """One spectrum by two weights."""
    return _spectra(*numbers.two_weights())


def alpha_req() -> Chart:
    """The fitted line on a sample's spectrum."""
    return _fit(*numbers.sample_fit(), colour=COLOURS[0], width=WIDTH)


def alpha_req_r2() -> Chart:
    """A fit that fits, and one that does not and has a high R² all the same."""
    found = zip(numbers.two_fits(), COLOURS, strict=False)
    return alt.hconcat(*(_fit(*fit, colour=colour, width=190) for fit, colour in found))


def _rectangle(place: int) -> Chart:
    bars, found = numbers.rectangles()
    one = found[place]
    x = alt.X("rank:Q", title="rank", scale=alt.Scale(domain=[0, 21], nice=False),
              axis=alt.Axis(values=[0, 5, 10, 15, 20]))  # fmt: skip
    y = alt.Y("value:Q", title="eigenvalue", scale=alt.Scale(domain=[0, 1.1], nice=False),
              axis=alt.Axis(values=[0, 0.5, 1]))  # fmt: skip
    corners = [{"rank": 0, "end": one["width"], "value": 0, "top": one["height"]}]
    box = (
        _data(corners)
        .mark_rect(color=COLOURS[1], opacity=0.35, stroke=COLOURS[1])
        .encode(x, alt.X2("end"), y, alt.Y2("top"))
    )
    label = (
        _data([{"rank": one["width"], "value": one["height"], "label": _equal(one)}])
        .mark_text(align="left", dx=6, baseline="top")
        .encode(x, y, text="label:N")
    )
    spectrum = _data([{**row, "end": row["rank"] - 1, "zero": 0} for row in bars])
    steps = spectrum.mark_rect(color=COLOURS[0], stroke="white").encode(
        x, alt.X2("end"), y, alt.Y2("zero")
    )
    return alt.layer(steps, box, label)


def _equal(one: Mapping[str, Any]) -> str:
    return f"{one['what']} {one['width']:.2f}"


def participation_ratio() -> Chart:
    """The rectangle of as many equal eigenvalues."""
    return _rectangle(0)


def stable_rank() -> Chart:
    """The rectangle as high as the first eigenvalue."""
    return _rectangle(1)


def top_share() -> Chart:
    """The first direction's share, in three bars."""
    rows = numbers.first_shares()
    parts = ["first direction", "all others"]
    x = alt.X("value:Q", title="share of the variance", scale=alt.Scale(domain=[0, 1]),
              axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2f"))  # fmt: skip
    y = alt.Y("what:N", title=None, sort=_names(rows))
    colour = alt.Color("part:N", title=None, sort=parts,
                       scale=alt.Scale(domain=parts, range=[COLOURS[1], "#cccccc"]))  # fmt: skip
    bars = _data(rows).mark_bar().encode(
        x, y, colour, order=alt.Order("part:N", sort="descending")
    )  # fmt: skip
    firsts = [row for row in rows if row["part"] == parts[0]]
    text = (
        _data(firsts)
        .mark_text(align="left", dx=4)
        .encode(x, y, text=alt.Text("value:Q", format=".3f"))
    )
    return alt.layer(bars, text)


def rank_ceiling() -> Chart:
    """Ranks of samples below their ceilings."""
    return _over_counts(numbers.ceilings(), [8, 32, 128, 512, 1024], [0, 32, 64, 96, 128], "rank")


def _over_counts(rows: Rows, counts: Sequence[int], values: Sequence[int], title: str) -> Chart:
    names = _names(rows)
    x = _log(counts, "rows", alt.X, "count")
    y = alt.Y("value:Q", title=title, axis=alt.Axis(values=list(values)),
              scale=alt.Scale(domain=[values[0], values[-1]], nice=False))  # fmt: skip
    base = _data(rows).encode(x, y, _what(names))
    return alt.layer(base.mark_line(), base.mark_circle(size=30, opacity=1))


def matched_counts() -> Chart:
    """Two groups whose order turns over when they are compared as they come."""
    rows = numbers.two_groups()
    curves = _over_counts(rows, [16, 64, 128, 512, 2048], [0, 25, 50, 75], "rankme")
    x = _log([16, 64, 128, 512, 2048], "rows", alt.X, "count")
    rule = _data([{"count": numbers.MATCHED}]).mark_rule(strokeDash=[4, 3], color=GREY).encode(x)
    told = [row for row in rows if row["count"] == numbers.MATCHED or row["whole"]]
    text = (
        _data(told)
        .mark_text(align="right", dx=-6, dy=-7)
        .encode(x, alt.Y("value:Q"), _what(_names(rows)), text=alt.Text("value:Q", format=".1f"))
    )
    return alt.layer(rule, curves, text)


def intervals() -> Chart:
    """Forty intervals, and what they are to hold."""
    rows, truth = numbers.intervals()
    holds = alt.Color("holds:N", title="holds the expectation",
                      scale=alt.Scale(domain=["yes", "no"], range=list(COLOURS[:2])))  # fmt: skip
    x = alt.X("set:Q", title="data set", axis=alt.Axis(values=[1, 10, 20, 30, 40]),
              scale=alt.Scale(domain=[0, 41], nice=False))  # fmt: skip
    y = alt.Y("low:Q", title="rankme", scale=alt.Scale(domain=[12, 22], nice=False),
              axis=alt.Axis(values=[12, 14, 16, 18, 20, 22]))  # fmt: skip
    base = _data(rows)
    return alt.layer(
        _data([{"low": truth}]).mark_rule(strokeDash=[4, 3], color=GREY).encode(y),
        base.mark_rule().encode(x, y, alt.Y2("high"), holds),
        base.mark_circle(opacity=1).encode(x, alt.Y("value:Q"), holds),
    )


def local_slopes() -> Chart:
    """Alpha by octave of ranks."""
    rows = numbers.slopes()
    x = _log([1, 2, 4, 8, 16, 32, 64, 128], "first rank of the octave", alt.X, "rank")
    y = alt.Y("value:Q", title="alpha", axis=alt.Axis(values=[0, 0.5, 1, 1.5, 2]),
              scale=alt.Scale(domain=[0, 2.2], nice=False))  # fmt: skip
    base = _data(rows).encode(x, y, _what(_names(rows)))
    return alt.layer(base.mark_line(), base.mark_circle(size=30, opacity=1))


def one_large_row() -> Chart:
    """What one row of a thousand does to rankme, by its share of the energy."""
    rows = numbers.one_large_row()
    x = alt.X("share:Q", title="share of the energy that one row of 1,000 has",
              axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2f"),
              scale=alt.Scale(domain=[0, 1]))  # fmt: skip
    y = alt.Y("rankme:Q", axis=alt.Axis(values=[0, 50, 100, 150, 200]),
              scale=alt.Scale(domain=[0, 200]))  # fmt: skip
    base = _data(rows).encode(x, y)
    return alt.layer(
        base.mark_line(color=COLOURS[0]), base.mark_circle(color=COLOURS[0], size=30, opacity=1)
    )


def routes() -> Chart:
    """Three effective ranks as the rows' mean grows."""
    rows = numbers.shifted_routes()
    x = alt.X("shift:Q", title="added to every entry", axis=alt.Axis(values=[0, 1, 2, 3, 4]))
    y = alt.Y("value:Q", title="effective rank", axis=alt.Axis(values=[0, 20, 40, 60]),
              scale=alt.Scale(domain=[0, 65], nice=False))  # fmt: skip
    base = _data(rows).encode(x, y, _what(_names(rows)))
    return alt.layer(base.mark_line(), base.mark_circle(size=30, opacity=1))


PICTURES: tuple[Callable[[], Chart], ...] = (
    rankme, rankme_sigma, alpha_req, alpha_req_r2, participation_ratio, stable_rank, top_share,
    rank_ceiling, routes, matched_counts, intervals, local_slopes, one_large_row,
)  # fmt: skip
"""Each is a file of its name."""


def svg(chart: Chart) -> str:
    """Black on white, in whatever sans-serif the reader has."""
    spec = chart.configure(
        background="white",
        font="sans-serif",
        aria=False,
        padding=8,
        view=alt.ViewConfig(stroke=None, continuousWidth=WIDTH, continuousHeight=HEIGHT),
        axis=alt.AxisConfig(
            titleFontWeight="normal", gridColor="#eeeeee", labelFontSize=11, titleFontSize=11
        ),
        legend=alt.LegendConfig(
            orient="top", direction="horizontal", labelFontSize=11, labelLimit=0,
            titleFontWeight="normal", titleOrient="left",
        ),
        title=alt.TitleConfig(fontSize=11, fontWeight="normal"),
    )  # fmt: skip
    return str(vl_convert.vegalite_to_svg(spec.to_dict(), vl_version=VERSION))


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        path = FOLDER / f"{picture.__name__}.svg"
        path.write_text(svg(picture()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
