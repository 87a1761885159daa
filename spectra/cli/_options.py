"""The flags of a run, one for each field of `RunConfig`, and the parsing of lists and sizes.

A flag's default is None, "not given": the defaults themselves are `RunConfig`'s, which is imported
only when a command runs. `show_default` repeats them for the help text; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from spectra.cli._complete import among, list_of
from spectra.errors import UsageError

if TYPE_CHECKING:
    from spectra.engine import RunConfig

_Value = TypeVar("_Value")
_STATES, _NUMBERS, _MACHINE = "What is measured", "How it is measured", "The machine"
LONGEST = 40
"""Characters of a number or size: one of hundreds of digits is beyond the range of a double."""

_SIZE = re.compile(r"(\d+(?:\.\d*)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)

LIST, SIZE = "LIST", "SIZE"
"""What help calls these values; a config file may have an array, or a number, in their place."""

# Repeated, since their homes import NumPy; a test compares.
POOLS = ("all", "mean", "first", "last")
CATEGORY_MAPS = ("identity", "schoenfeld", "thought_anchors", "steering_thinking", "traces11")
CONVENTIONS = (
    "default",
    "roy2007",
    "rankme2023",
    "fastssl",
    "reptrix",
    "li2025",
    "skean2025",
    "differank",
)


def choice(values: str, **rest: Any) -> Any:
    """An option of a closed set of values, given as help shows them: a shell completes them."""
    return typer.Option(metavar=values, autocompletion=among(values.split("|")), **rest)


Pools = Annotated[
    str | None,
    typer.Option(
        metavar=LIST,
        help=f"Step poolings among {', '.join(POOLS)}.",
        autocompletion=list_of(POOLS),
        show_default=",".join(POOLS),
        rich_help_panel=_STATES,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        metavar=LIST,
        help='Saved layers by number, or "all".',
        show_default="the primary one",
        rich_help_panel=_STATES,
    ),
]
Categories = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help=f"Map of labels to macro categories: {', '.join(CATEGORY_MAPS)}, or a TOML file.",
        autocompletion=among(CATEGORY_MAPS),
        show_default="identity",
        rich_help_panel=_STATES,
    ),
]
MaxCategories = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Report the smallest macro categories beyond this many together.",
        show_default="64",
        rich_help_panel=_STATES,
    ),
]
NumBins = Annotated[
    int | None,
    typer.Option(
        "--num-bins",
        "--bins",
        metavar="N",
        help="Bins of relative depth.",
        show_default="10",
        rich_help_panel=_STATES,
    ),
]
Depth = Annotated[
    str | None,
    choice(
        "step|token",
        help="Depth counted in steps or in tokens.",
        show_default="step",
        rich_help_panel=_STATES,
    ),
]
ConventionName = Annotated[
    str | None,
    typer.Option(
        "--convention",
        metavar="NAME",
        help=f"Definition of the metrics: {', '.join(CONVENTIONS)}.",
        autocompletion=among(CONVENTIONS),
        show_default="default",
        rich_help_panel=_NUMBERS,
    ),
]
Counts = Annotated[
    str | None,
    typer.Option(
        metavar=LIST,
        help="Row counts of the matched-count sweep, rising.",
        show_default="32,64,... up to 4096",
        rich_help_panel=_NUMBERS,
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Subsamples drawn for each count.",
        show_default="5",
        rich_help_panel=_NUMBERS,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Seed of the subsamples.",
        show_default="0",
        rich_help_panel=_NUMBERS,
    ),
]
Sampling = Annotated[
    str | None,
    choice(
        "row|step|trace",
        help="What subsamples draw: rows, or all of a step or a trace in the group.",
        show_default="row",
        rich_help_panel=_NUMBERS,
    ),
]
Matched = Annotated[
    bool | None,
    typer.Option(
        "--matched/--no-matched",
        help="Compare groups of a kind at the largest count that they share.",
        show_default="matched",
        rich_help_panel=_NUMBERS,
    ),
]
Diagnostics = Annotated[
    bool | None,
    typer.Option(
        "--diagnostics/--no-diagnostics",
        help="Say in each record what its alpha and its energy depend on.",
        show_default="diagnostics",
        rich_help_panel=_NUMBERS,
    ),
]
Jackknife = Annotated[
    str | None,
    choice(
        "first-order|exact|off",
        help="Standard errors over problems (traces where these are not named): to first order, by "
        "leaving each out in turn (a solve a block), or none.",
        show_default="first-order",
        rich_help_panel=_NUMBERS,
    ),
]
Influences = Annotated[
    bool | None,
    typer.Option(
        "--influences/--no-influences",
        help="Write trace_influences.csv (what each trace adds to each metric of a group).",
        show_default="no-influences",
        rich_help_panel=_NUMBERS,
    ),
]
HalfSample = Annotated[
    bool | None,
    typer.Option(
        "--half-sample/--no-half-sample",
        help="Give rankme of groups of 2 d rows or more without its bias to first order, from "
        "halves of the traces.",
        show_default="no-half-sample",
        rich_help_panel=_NUMBERS,
    ),
]
DropFirst = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Leave out the first K tokens of each trace.",
        show_default="0",
        rich_help_panel=_STATES,
    ),
]
DropDims = Annotated[
    str | None,
    typer.Option(
        metavar=LIST,
        help='Leave out these dimensions of the states, by number from 0; or "none".',
        show_default="none",
        rich_help_panel=_STATES,
    ),
]
DropNorms = Annotated[
    float | None,
    typer.Option(
        metavar="Z",
        help="Leave out tokens whose norm is more than Z robust deviations above the median.",
        show_default="0.0",
        rich_help_panel=_STATES,
    ),
]
NonFinite = Annotated[
    str | None,
    choice(
        "null|drop|error",
        help="States that hold NaN or infinity: leave their groups undefined, drop the tokens, or "
        "stop.",
        show_default="null",
        rich_help_panel=_NUMBERS,
    ),
]
BackendChoice = Annotated[
    str | None,
    choice(
        "auto|cpu|gpu|tpu",
        help="Where to compute.",
        show_default="auto",
        rich_help_panel=_MACHINE,
    ),
]
PrecisionChoice = Annotated[
    str | None,
    choice(
        "auto|exact|fast",
        help="exact: float64, within 1e-9. fast: float32 products on an accelerator, within 1e-3. "
        "auto: exact, but fast on a TPU.",
        show_default="auto",
        rich_help_panel=_MACHINE,
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many devices of an accelerator work together.",
        show_default="all that this process has",
        rich_help_panel=_MACHINE,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar=SIZE,
        help="Host memory for stored rows, and for moments where no accelerator holds them, such "
        "as 4G or 500M (powers of 1024).",
        show_default="60 % of what is free",
        rich_help_panel=_MACHINE,
    ),
]
SOURCE_HELP = (
    "A model directory, or the parent of several; hf://datasets/OWNER/NAME[@REVISION]/PATH for one "
    "of the hub."
)
Source = Annotated[str, typer.Argument(metavar="SRC", help=SOURCE_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and nothing else.")]


def configuration(**choices: Any) -> RunConfig:
    """The options that were given; None means "not given"."""
    from spectra.engine import RunConfig

    return RunConfig(**{name: value for name, value in choices.items() if value is not None})


def parsed(parse: Callable[[str], _Value], text: str | None) -> _Value | None:
    """A flag's value, or None where it was not given."""
    return None if text is None else parse(text)


def words(text: str) -> tuple[str, ...]:
    """The items of a list with commas, without the white space around them."""
    return tuple(item.strip() for item in text.split(","))


def layer_choice(text: str) -> tuple[int, ...] | Literal["all"]:
    """The value of `--layers`; raises `UsageError`."""
    return "all" if text.strip() == "all" else _integers("--layers", text, "15,30 or all")


def count_list(text: str) -> tuple[int, ...]:
    """The value of `--counts`; raises `UsageError`."""
    return _integers("--counts", text, "64,256,1024")


def dimension_list(text: str) -> tuple[int, ...]:
    """The value of `--drop-dims`; raises `UsageError`."""
    return () if text.strip() == "none" else _integers("--drop-dims", text, "17,305 or none")


def size(text: str, flag: str = "--max-memory") -> int:
    """The value of a flag in bytes: 500M, 4G, 1.5 GiB; raises `UsageError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or len(text) > LONGEST:
        raise UsageError(
            f"{flag} is {text!r}. Expected a number of bytes, with K, M, G or T behind it "
            "where wanted, such as 4G or 500M."
        )
    number, unit = match.groups()
    return int(float(number) * 1024 ** " KMGT".index(unit.upper() or " "))


def _integers(flag: str, text: str, example: str) -> tuple[int, ...]:
    try:
        return tuple(int(item) for item in words(text))
    except ValueError:
        raise UsageError(
            f"{flag} is {text!r}. Expected whole numbers with commas between them, such as "
            f"{example}."
        ) from None
