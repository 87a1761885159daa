"""`spectra diff`: whether two runs gave the same numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectra.cli import _options as options
from spectra.cli._text import complain, document, say
from spectra.errors import MissingFileError, UsageError
from spectra.printable import shortened

if TYPE_CHECKING:
    from spectra.cli._pairs import Pair
    from spectra.strict_json import JSON

EXAMPLE = "spectra diff spectral_metrics other_metrics --rtol 1e-9"

_LARGEST = 1 << 30
_VALUE_WIDTH = 40

Side = Annotated[
    Path, typer.Argument(help="An output directory, or one JSON file of a run.", show_default=False)
]


def diff(
    a: Side,
    b: Side,
    rtol: Annotated[float, typer.Option(help="Largest relative difference of two numbers.")] = 1e-9,
    show: Annotated[int, typer.Option(min=0, metavar="N", help="Differences to print.")] = 20,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare every number, string and null of two runs' metric files (run.json is left out).

    Counts must be equal, other numbers to within RTOL of the larger; a file or key that one side
    lacks is a difference. Ends with 0 if all agree and with 1 if not.
    """
    from spectra import strict_json

    if not (math.isfinite(rtol) and rtol >= 0):
        raise UsageError(f"--rtol is {rtol}. Expected a finite number of 0 or more.")
    found = compared(a, b, rtol)
    if not quiet:
        for root in (*_unfinished(a), *_unfinished(b)):
            complain(f"Warning: {root} has no run.json: its run did not finish.")
    different = [(file, pair) for file, pair in found if not pair.equal]
    files = len({file for file, _ in found})
    if json:
        head = {"equal": not different, "rtol": rtol, "files": files, "values": len(found)}
        first = [_as_document(file, pair) for file, pair in different[:show]]
        document(strict_json.dumps({**head, "differences": len(different), "first": first}))
    elif not quiet:
        for file, pair in different[:show]:
            say(_line(file, pair))
        say(_conclusion(files, len(found), len(different), min(show, len(different)), rtol))
    if different:
        raise typer.Exit(1)


def compared(a: Path, b: Path, rtol: float) -> list[tuple[str, Pair]]:
    """Every value of both sides with the file it is in; a missing file counts as one value.

    Raises:
        UsageError: one side is a directory and the other is not.
        InputError: a side is missing, holds no metric files or is no JSON.
    """
    from spectra.cli._pairs import Pair, pairs

    for side in (a, b):
        if not side.exists():
            raise MissingFileError(
                f"{side} does not exist. Expected an output directory of `spectra run`, or a file "
                "in one. Check the path."
            )
    if a.is_dir() != b.is_dir():
        raise UsageError(
            f"{a} is a {_kind(a)} and {b} is a {_kind(b)}. Expected two directories or two files."
        )
    left, right = _files(a), _files(b)
    if not a.is_dir():
        right = dict(zip(left, right.values(), strict=True))
    result = []
    for name in left | right:
        if name in left and name in right:
            result += [(name, pair) for pair in pairs(_read(left[name]), _read(right[name]), rtol)]
        else:
            missing = "b" if name in left else "a"
            result.append((name, Pair("", None, None, missing, None, False)))
    return result


def _files(side: Path) -> dict[str, Path]:
    """The metric files of a directory by relative name, or the file itself under its own name."""
    from spectra.outputs import FILES, LAYERS_FILE

    if not side.is_dir():
        return {side.name: side}
    found = sorted(path for path in side.rglob("*.json") if path.name in (*FILES, LAYERS_FILE))
    if not found:
        raise MissingFileError(
            f"{side} holds no metric file ({', '.join(FILES)}), nor does a directory in it. "
            "Expected the output directory of `spectra run`."
        )
    return {path.relative_to(side).as_posix(): path for path in found}


def _unfinished(side: Path) -> list[Path]:
    """The model directories under `side` without the run.json that a run writes last."""
    from spectra.outputs import FILES, RUN_FILE

    files = _files(side).values() if side.is_dir() else ()
    folders = {path.parent.parent for path in files if path.name in FILES}
    roots = {folder.parent if folder.name.startswith("layer_") else folder for folder in folders}
    return sorted(root for root in roots if not (root / RUN_FILE).exists())


def _read(path: Path) -> JSON:
    from spectra import strict_json

    return strict_json.load(path, max_bytes=_LARGEST)


def _kind(path: Path) -> str:
    return "directory" if path.is_dir() else "file"


def _as_document(file: str, pair: Pair) -> dict[str, Any]:
    values = {name: _scalar(getattr(pair, name)) for name in ("a", "b")}
    head = {"file": file, "path": pair.path, **values}
    return {**head, "relative": pair.relative, "missing": pair.missing}


def _scalar(value: JSON) -> JSON:
    """The value itself, or how large an object or array is."""
    if isinstance(value, dict | list):
        return f"{'object' if isinstance(value, dict) else 'array'} of {len(value)}"
    return value


def _line(file: str, pair: Pair) -> str:
    place = f"{file}: {pair.path}" if pair.path else file
    if pair.missing is not None:
        return f"{place}: not in {pair.missing.upper()}"
    line = f"{place}: {_shown(pair.a)} against {_shown(pair.b)}"
    return line if pair.relative is None else f"{line}, relative difference {pair.relative:.3g}"


def _shown(value: JSON) -> str:
    if value is None:
        return "null"
    return shortened(repr(value) if isinstance(value, float) else str(_scalar(value)), _VALUE_WIDTH)


def _conclusion(files: int, values: int, different: int, shown: int, rtol: float) -> str:
    scope = f"{values:,} values in {files} files"
    if not different:
        return f"Equal: {scope}, numbers to a relative {rtol:g}."
    rest = f" ({different - shown:,} more not shown; --show N)" if different > shown else ""
    return f"Different: {different:,} of {scope}, at a relative {rtol:g}{rest}."
