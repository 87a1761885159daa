"""`spectra plan`: time, memory, disk and network of a run that is past this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._text import document, say
from spectra.errors import UsageError

if TYPE_CHECKING:
    from spectra.planning import Rates

EXAMPLE = "spectra plan --tokens 1e9 --dim 4096 --layers 32 --devices 64"

_SIZE, _RATES = "The run", "Rates, by default of this machine"
_WHOLE = re.compile(r"\d+(?:_\d+)*|\d+(?:\.\d+)?[eE]\+?\d{1,2}", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_ITEM_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}

_MOST = 10**15
_ALL_RATES = {"disk", "network", "multiply", "reduce", "axes", "keys"}

STEPS_PER_TRACE, TOKENS_PER_STEP = "100", "50"


def _size(metavar: str, text: str, **rest: Any) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=_SIZE, **rest)


def _rate(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, show_default=False, rich_help_panel=_RATES)


Tokens = Annotated[str, _size("N", "Token rows of a layer, such as 1e9.")]
Dim = Annotated[str, _size("N", "Width of the states.")]
Layers = Annotated[str, _size("N", "How many layers.")]
Devices = Annotated[str, _size("N", "Devices of all processes together.")]
ProcessCount = Annotated[
    str | None, _size("N", "Processes that share the run.", show_default="one a device")
]
CategoryCount = Annotated[str, _size("N", "How many macro categories.")]
Traces = Annotated[str | None, _size("N", "How many traces.", show_default="by --steps-per-trace")]
StepsPerTrace = Annotated[
    str | None, _size("N", "Steps of each trace.", show_default=STEPS_PER_TRACE)
]
TokensPerStep = Annotated[str, _size("N", "Tokens of each step.")]
Dtype = Annotated[
    str, options.choice("bfloat16|float16|float32", help="Of states.", rich_help_panel=_SIZE)
]
JackknifeChoice = Annotated[
    str, options.choice("first-order|off", help="Standard errors.", rich_help_panel=_SIZE)
]
HostMemory = Annotated[
    str | None,
    _size("SIZE", "Of a process, for rows and moments.", show_default="what one pass takes"),
]
DeviceMemory = Annotated[
    str | None,
    _size("SIZE", "Of a device, for moments.", show_default="moments lie in the host's"),
]
RatesFile = Annotated[Path | None, _rate("FILE", "Rates as `spectra plan --json` prints them.")]
Disk = Annotated[str | None, _rate("SIZE/s", "Bytes that a process reads in a second, as 2G/s.")]
Network = Annotated[str | None, _rate("SIZE/s", "Bytes that a process sends; else 10 Gbit/s.")]
Multiply = Annotated[str | None, _rate("X", "TFLOP/s of a device's float64 products.")]
Reduce = Annotated[str | None, _rate("S", "Seconds of a device to reduce one d x d matrix.")]
AxesRate = Annotated[
    str | None, _rate("S", "Seconds to decompose one d x d matrix with its eigenvectors.")
]
Keys = Annotated[str | None, _rate("N", "Random keys that a process draws in a second.")]


def plan(  # noqa: PLR0913, PLR0917 - a parameter for each flag
    tokens: Tokens,
    dim: Dim,
    layers: Layers = "1",
    devices: Devices = "1",
    processes: ProcessCount = None,
    categories: CategoryCount = "8",
    traces: Traces = None,
    steps_per_trace: StepsPerTrace = None,
    tokens_per_step: TokensPerStep = TOKENS_PER_STEP,
    dtype: Dtype = "bfloat16",
    pools: options.Pools = None,
    num_bins: options.NumBins = None,
    counts: options.Counts = None,
    repeats: options.Repeats = None,
    matched: options.Matched = None,
    diagnostics: options.Diagnostics = None,
    jackknife: JackknifeChoice = "first-order",
    max_memory: HostMemory = None,
    device_memory: DeviceMemory = None,
    rates: RatesFile = None,
    disk: Disk = None,
    network: Network = None,
    multiply: Multiply = None,
    reduce: Reduce = None,
    axes: AxesRate = None,
    keys: Keys = None,
    json: options.Json = False,
) -> None:
    """Time, memory, disk and network of `spectra run` at a size that need not exist yet."""
    numbers = {
        "tokens": whole("--tokens", tokens),
        "dim": whole("--dim", dim),
        "layers": whole("--layers", layers),
        "categories": whole("--categories", categories),
        "tokens_per_step": whole("--tokens-per-step", tokens_per_step),
        "devices": whole("--devices", devices),
    }
    numbers["processes"] = whole("--processes", processes or devices)
    numbers["traces"] = _traces(numbers, traces, steps_per_trace)
    if dtype not in _ITEM_BYTES:
        raise UsageError(f"--dtype is {dtype!r}. Expected one of: {', '.join(_ITEM_BYTES)}.")
    chosen = {
        name: value
        for name, value in (
            ("disk", options.parsed(lambda text: speed("--disk", text), disk)),
            ("network", options.parsed(lambda text: speed("--network", text), network)),
            ("multiply", options.parsed(lambda text: number("--multiply", text) * 1e12, multiply)),
            ("reduce", options.parsed(lambda text: number("--reduce", text), reduce)),
            ("axes", options.parsed(lambda text: number("--axes", text), axes)),
            ("keys", options.parsed(lambda text: number("--keys", text), keys)),
        )
        if value is not None
    }
    host = options.parsed(options.size, max_memory)
    device = options.parsed(lambda text: options.size(text, "--device-memory"), device_memory)
    choices: dict[str, Any] = {
        "pools": options.parsed(options.words, pools),
        "num_bins": num_bins,
        "counts": options.parsed(options.count_list, counts),
        "repeats": repeats,
        "matched": matched,
        "diagnostics": diagnostics,
        "jackknife": jackknife,
    }
    from spectra.engine.memory import Limit
    from spectra.planning import Outline, planned

    outline = Outline(itemsize=_ITEM_BYTES[dtype], **numbers)
    limit = None if host is None and device is None else Limit(host or 1 << 62, device)
    config = options.configuration(**choices)
    found, how = _rates(outline.dim, rates, chosen)
    made = planned(outline, config, found, limit)
    made["rates_from"] = how
    if json:
        from spectra import strict_json

        document(strict_json.dumps(made))
    else:
        from spectra.cli._plan_text import text

        say(text(made))


def whole(flag: str, text: str) -> int:
    """A whole number such as 1000, 1_000 or 1e3; raises `UsageError`."""
    found = _WHOLE.fullmatch(text.strip())
    value = float(text) if found and len(text) <= options.LONGEST else 0.0
    if not 1 <= value <= _MOST or value != int(value):
        raise UsageError(
            f"{flag} is {text!a}. Expected a whole number from 1 to {_MOST:.0e}, such as 1000, "
            "1_000 or 1e3."
        )
    return int(value) if "e" in text.lower() else int(text)


def number(flag: str, text: str) -> float:
    """A positive number; raises `UsageError`."""
    found = _NUMBER.fullmatch(text.strip())
    value = float(text) if found and len(text) <= options.LONGEST else 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{flag} is {text!a}. Expected a positive number, such as 30 or 0.5.")
    return value


def speed(flag: str, text: str) -> float:
    """Bytes a second, with or without its /s; raises `UsageError`."""
    value = options.size(text.strip().removesuffix("/s"), flag)
    if value == 0:
        raise UsageError(f"{flag} is {text!a}. Expected more than nothing, such as 2G/s.")
    return float(value)


def _traces(numbers: dict[str, int], traces: str | None, steps: str | None) -> int:
    if traces is not None and steps is not None:
        raise UsageError(
            "--traces and --steps-per-trace say the same in two ways. Expected one of them."
        )
    if traces is not None:
        return whole("--traces", traces)
    each = whole("--steps-per-trace", steps or STEPS_PER_TRACE) * numbers["tokens_per_step"]
    return max(1, numbers["tokens"] // each)


def _rates(dim: int, path: Path | None, chosen: dict[str, float]) -> tuple[Rates, str]:
    """The rates, and how they are known."""
    from spectra.cli import _plan_rates
    from spectra.planning import Rates

    if path is None and chosen.keys() == _ALL_RATES:
        return Rates.of(dim, chosen), "all of them given"
    if path is not None:
        found, how = _plan_rates.read(path), f"read from {path.name}"
    else:
        from spectra.backend import select_backend

        found, how = _plan_rates.measured(select_backend("auto", "auto", 1), dim)
        if "network" not in chosen:
            how += "; the network's is assumed"
    if chosen:
        how += f"; given: {', '.join(chosen)}"
    return found.given(dim, chosen), how
