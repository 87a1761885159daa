"""JSON as data from strangers: strict to read, deterministic to write.

The standard parser lets a later duplicate key win, turns `1e999` into infinity, accepts `NaN` and
fails deep inside on deep nesting. Each of these is refused here with its own error.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from spectra.errors import (
    JsonDepthError,
    JsonDuplicateKeyError,
    JsonEncodingError,
    JsonNumberError,
    JsonSyntaxError,
    JsonTrailingTextError,
)
from spectra.files import read_capped

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
JSONObject: TypeAlias = Mapping[str, JSON]

MAX_DEPTH = 64
"""Deepest nesting that is read; the project's own files need five levels."""

_LONGEST_SHOWN = 60

_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "a UTF-8 byte-order mark",
    b"\xff\xfe": "a UTF-16 byte-order mark",
    b"\xfe\xff": "a UTF-16 byte-order mark",
}


def load(path: Path, *, max_bytes: int) -> JSON:
    """The document in the UTF-8 file at `path`, of at most `max_bytes` bytes.

    Raises one of the `Json…Error` classes, or what `spectra.files` raises for the file itself.
    """
    return loads(read_capped(path, max_bytes), where=str(path))


def loads(data: bytes, *, where: str) -> JSON:
    """The one JSON document in `data`; `where` names it in error messages."""
    decoder = json.JSONDecoder(
        object_pairs_hook=partial(_unique_keys, where),
        parse_constant=partial(_refuse_constant, where),
        parse_float=partial(_finite, where),
    )
    text = _decode(data, where)
    try:
        value: JSON = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _syntax(error, text, where) from None
    except ValueError:  # an integer of more digits than Python converts
        raise JsonNumberError(
            f"{where}: an integer has too many digits to be read. Check the producer of the file."
        ) from None
    except RecursionError:
        raise _too_deep(where) from None
    _check_depth(value, where)
    return value


def dumps(value: object, *, indent: int | None = 1) -> str:
    """`value` as ASCII JSON with a final newline, keys in the order given.

    The same value gives the same text everywhere: floats are written with the shortest digits that
    read back to them, other characters than ASCII (lone surrogates included) as escapes.
    NaN and infinities raise `ValueError`: a statistic that has no value is null.
    """
    return json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=True) + "\n"


def _decode(data: bytes, where: str) -> str:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            raise JsonEncodingError(
                f"{where} begins with {name}; expected plain UTF-8. Save it again without the mark."
            )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonEncodingError(
            f"{where}: byte {error.start} ({data[error.start]:#04x}) is not UTF-8. "
            "Save the file again as UTF-8, or fetch it again."
        ) from None


def _syntax(
    error: json.JSONDecodeError, text: str, where: str
) -> JsonSyntaxError | JsonTrailingTextError:
    place = f"line {error.lineno}, column {error.colno}"
    if error.msg == "Extra data":
        return JsonTrailingTextError(
            f"{where}: the document ends before {place}, but {len(text) - error.pos:,} characters "
            "follow. Expected one JSON document and nothing after it."
        )
    if not text.strip():
        return JsonSyntaxError(f"{where} is empty; expected a JSON document. Fetch it again.")
    return JsonSyntaxError(
        f"{where} is not JSON: {error.msg} at {place}. "
        "The file may be cut short; write or fetch it again."
    )


def _unique_keys(where: str, pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice, times = Counter(key for key, _ in pairs).most_common(1)[0]
        shown = ascii(twice) if len(twice) <= _LONGEST_SHOWN else f"{twice[:_LONGEST_SHOWN]!a}…"
        raise JsonDuplicateKeyError(
            f"{where}: an object has the key {shown} {times} times. "
            "Expected each key once; remove the others."
        )
    return result


def _refuse_constant(where: str, name: str) -> JSON:
    raise JsonNumberError(
        f"{where}: the number {name} is not JSON. Expected finite numbers; use null for no value."
    )


def _finite(where: str, text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonNumberError(
            f"{where}: the number {text[:40]} is beyond the range of a double. Expected finite "
            "numbers."
        )
    return value


def _check_depth(value: JSON, where: str) -> None:
    """Level by level, since recursion is what the cap protects everyone else from."""
    level: list[JSON] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _containers(parent)]
        if not level:
            return
    raise _too_deep(where)


def _containers(value: JSON) -> list[JSON]:
    if type(value) is dict:
        return [child for child in value.values() if type(child) is dict or type(child) is list]
    if type(value) is list:
        return [child for child in value if type(child) is dict or type(child) is list]
    return []


def _too_deep(where: str) -> JsonDepthError:
    return JsonDepthError(
        f"{where}: arrays and objects are nested more than {MAX_DEPTH} deep. "
        "Check that it is the right file."
    )


def differences(one: JSON, other: JSON, where: str = "") -> Iterator[tuple[str, JSON, JSON]]:
    """The fields, by path, that differ between two documents, with both values; None if absent."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            inner = f"{where}.{key}" if where else key
            yield from differences(one.get(key), other.get(key), inner)
    elif one != other:
        yield where, one, other
