"""What a shell completes as the value of a flag, where the values are a closed set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Completion = Callable[[str], list[str]]
"""From what is typed so far to what it may become."""


def among(values: Sequence[str]) -> Completion:
    """One of the values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def list_of(values: Sequence[str]) -> Completion:
    """The last item of a list with commas, each value once."""

    def complete(incomplete: str) -> list[str]:
        *before, last = incomplete.split(",")
        rest = [value for value in values if value not in before]
        return [",".join([*before, value]) for value in rest if value.startswith(last)]

    return complete
