"""Text from data made harmless to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what could steer a terminal (control, bidirectional, surrogates) as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, width: int) -> str:
    """`text`, printable, cut to `width` characters."""
    shown = printable(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"
