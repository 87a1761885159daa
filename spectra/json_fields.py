"""Typed access to the fields of one JSON object, with the place it came from in every error.

Types are compared exactly: true is not an integer, 3.0 is not one, "12" is not one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import cast

from spectra.errors import FieldTypeError, FieldValueError, MissingFieldError
from spectra.strict_json import JSON, JSONObject

MAX_INTEGER = 2**53
"""The largest integer that every JSON reader keeps exactly."""

_LONGEST = 60
_MOST = 20


def show(value: JSON) -> str:
    """A short ASCII picture of a value for an error message, control characters escaped."""
    if isinstance(value, dict):
        return f"an object with {len(value)} fields"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    # Cut before it is escaped, for a text can be of gigabytes.
    text = ascii(value[: _LONGEST + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def some(values: Iterable[JSON]) -> str:
    """The first of many values as `show` has them."""
    shown = list(islice(values, _MOST + 1))
    return ", ".join(map(show, shown[:_MOST])) + (", …" if len(shown) > _MOST else "")


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object's fields; `where` reads "file: path.to.object"."""

    fields: JSONObject
    where: str

    @classmethod
    def of(cls, value: JSON, where: str) -> Fields:
        """Raises `FieldTypeError` unless `value` is an object."""
        if not isinstance(value, dict):
            raise FieldTypeError(f"{where} is {show(value)}; expected an object.")
        return cls(value, where)

    def get(self, key: str) -> JSON:
        """The field's value; raises `MissingFieldError`."""
        if key not in self.fields:
            raise MissingFieldError(
                f"{self.where} has no field {key!r}; it has {_names(self.fields)}. Add the field, "
                "or fetch the file again."
            )
        return self.fields[key]

    def integer(self, key: str, *, low: int = 0, high: int = MAX_INTEGER) -> int:
        """An integer in [low, high]."""
        value = self.get(key)
        if type(value) is not int:
            raise self._type(key, "an integer")
        if not low <= value <= high:
            raise FieldValueError(
                f"{self.where}: {key} is {show(value)}; expected an integer from {low} to {high}."
            )
        return value

    def integer_or_none(self, key: str, *, high: int = MAX_INTEGER) -> int | None:
        """A non-negative integer, or None where the field is null or absent."""
        return None if self.fields.get(key) is None else self.integer(key, high=high)

    def number(self, key: str, *, above: float = 0) -> float:
        """A number larger than `above`; an integer is one too."""
        value = self.get(key)
        if type(value) not in {int, float}:
            raise self._type(key, "a number")
        try:
            number = float(cast(float, value))
        except OverflowError:  # an integer beyond the doubles
            number = math.nan
        if not number > above:
            raise FieldValueError(
                f"{self.where}: {key} is {show(value)}; expected a number above {above:g}."
            )
        return number

    def number_or_none(self, key: str, *, above: float = 0) -> float | None:
        """As `number`, or None where the field is null or absent."""
        return None if self.fields.get(key) is None else self.number(key, above=above)

    def boolean_or_none(self, key: str) -> bool | None:
        """True, false, or None where the field is null or absent."""
        value = self.fields.get(key)
        if value is not None and type(value) is not bool:
            raise self._type(key, "true, false or null")
        return value

    def text(self, key: str) -> str:
        """A string that is not empty."""
        value = self.get(key)
        if type(value) is not str:
            raise self._type(key, "a string")
        if not value:
            raise FieldValueError(f"{self.where}: {key[:_LONGEST]} is empty; expected some text.")
        return value

    def identifier(self, key: str) -> str:
        """A string that is not empty; an integer is read as its digits."""
        value = self.get(key)
        return str(value) if type(value) is int else self.text(key)

    def identifier_or_none(self, key: str) -> str | None:
        """As `identifier`, or None where the field is null or absent."""
        return None if self.fields.get(key) is None else self.identifier(key)

    def array(self, key: str) -> list[JSON]:
        """An array."""
        value = self.get(key)
        if type(value) is not list:
            raise self._type(key, "an array")
        return value

    def records(self, key: str) -> list[Fields]:
        """An array of objects."""
        prefix = f"{self.where}: {key}" if self.where.endswith(".json") else f"{self.where}.{key}"
        return [Fields.of(value, f"{prefix}[{i}]") for i, value in enumerate(self.array(key))]

    def others(self, known: Collection[str]) -> dict[str, JSON]:
        """The fields that are not among `known`."""
        return {key: value for key, value in self.fields.items() if key not in known}

    def _type(self, key: str, expected: str) -> FieldTypeError:
        return FieldTypeError(
            f"{self.where}: {key[:_LONGEST]} is {show(self.fields[key])}; expected {expected}."
        )


def _names(fields: JSONObject) -> str:
    return some(sorted(fields)) or "none"
