"""`--config FILE`: the values of flags that are not given, from a TOML file or an earlier run.json.

The keys are the command's own parameters, read from its signature, so that no flag is listed twice.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import typer

from spectra.cli._guard import guarded
from spectra.cli._options import LIST, SIZE
from spectra.errors import ConfigFileError, InputError
from spectra.json_fields import show

GIVEN = "spectra.cli.config"
"""Where a command's context keeps the file, which its parameter does not."""

LARGEST = 4 << 20
"""Bytes that a file of options may have."""

_MAY_BE_EMPTY = frozenset({"counts", "drop_dims"})
"""Lists of which an empty one says what leaving the flag out does."""

# By a flag's metavar, or else its type: the types that a file may have there, and their name.
_KINDS: Mapping[Any, tuple[tuple[type, ...], str]] = {
    LIST: ((str, list), "an array of one item or more, or a string with commas"),
    SIZE: ((str, int), 'a number of bytes, or a string such as "4G"'),
    list[str]: ((list,), "an array of strings"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a string"),
    Path: ((str,), "a string"),
}


@guarded
def _take(ctx: typer.Context, file: Path | None) -> None:
    """Make the file's values the defaults of the command's flags."""
    if file is not None and not ctx.resilient_parsing:
        assert ctx.command.callback is not None
        ctx.meta[GIVEN] = file
        kinds = _kinds(ctx.command.callback)
        ctx.default_map = {
            key: _value(file, key, value, kinds) for key, value in _read(file).items()
        }


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_take,
        help="Take flags that are not given from this TOML file, their keys with _ for -; "
        "`spectra run` also takes the run.json of an earlier run.",
    ),
]


def sources(ctx: typer.Context, choices: Mapping[str, Any]) -> dict[str, str]:
    """Where each of the choices other than None comes from: "given", or "config"."""
    return {
        name: "config" if _is_from_file(ctx, name) else "given"
        for name, value in choices.items()
        if value is not None
    }


def _is_from_file(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def _kinds(command: Callable[..., Any]) -> dict[str, Any]:
    """The keys that a file may have, each with its key in `_KINDS`."""
    found = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        annotation = parameter.annotation
        if get_origin(annotation) is Annotated and annotation != ConfigFile:
            hint, flag = get_args(annotation)
            if isinstance(hint, UnionType):
                (hint,) = set(get_args(hint)) - {NoneType}
            found[name] = flag.metavar if flag.metavar in _KINDS else hint
    return found


def _read(file: Path) -> dict[str, Any]:
    """The file's keys and values; raises `ConfigFileError`."""
    from spectra import strict_toml
    from spectra.files import read_capped

    try:
        if file.suffix == ".json":
            return _options_of_a_run(file)
        data = read_capped(file, LARGEST)
    except InputError as error:
        raise ConfigFileError(f"--config: {error}") from None
    try:
        document = strict_toml.loads(data)
    except ValueError as error:
        raise ConfigFileError(
            f"{file} is not a TOML file in UTF-8: {error}. Expected lines such as num_bins = 5, or "
            "the run.json of an earlier run."
        ) from None
    return {k: value for k, value in document.items() if not (k in _MAY_BE_EMPTY and value == [])}


def _options_of_a_run(file: Path) -> dict[str, Any]:
    """All options of a run.json; an empty array there means what it means to leave out the flag."""
    from spectra import strict_json

    document = strict_json.load(file, max_bytes=LARGEST)
    options = document.get("options") if isinstance(document, dict) else None
    if not isinstance(options, dict):
        raise ConfigFileError(
            f"{file} has no object `options`. Expected the run.json of an earlier run, or a TOML "
            "file whose name does not end in .json."
        )
    found = {}
    for key, option in options.items():
        if not isinstance(option, dict) or "value" not in option:
            raise ConfigFileError(
                f"{file}: options.{key} is {show(option)}; expected an object with the field value."
            )
        if option["value"] != []:
            found[key] = option["value"]
    return found


def _value(file: Path, key: str, value: Any, kinds: Mapping[str, Any]) -> Any:
    """The value as the flag takes it; raises `ConfigFileError`."""
    if key not in kinds:
        near = difflib.get_close_matches(key, kinds, 1)
        raise ConfigFileError(
            f"{file}: {key} is not an option of this command. "
            + (f"Did you mean {near[0]}?" if near else f"Expected one of: {', '.join(kinds)}.")
        )
    kind = kinds[key]
    types, expected = _KINDS[kind]
    if type(value) not in types or (type(value) is list and not _holds_items(value, kind)):
        raise ConfigFileError(f"{file}: {key} is {_shown(value)}; expected {expected}.")
    if kind == LIST and type(value) is list:
        return ",".join(map(str, value))
    return str(value) if kind == SIZE else value


def _holds_items(value: list[Any], kind: Any) -> bool:
    items = (str, int) if kind == LIST else (str,)
    return bool(value) and all(type(item) in items for item in value)


def _shown(value: Any) -> str:
    return f"[{', '.join(map(show, value))}]" if isinstance(value, list) else show(value)
