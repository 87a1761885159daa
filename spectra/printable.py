"""Text from data made harmless to show."""

from __future__ import annotations

from collections.abc import Hashable

LABEL_WIDTH = 40


def printable(text: str) -> str:
    """`text` with what could steer a terminal (control, bidirectional, surrogates) as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, width: int) -> str:
    """`text`, printable, cut to `width` characters."""
    shown = printable(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


class Names:
    """Things as a page or table calls them: printable, short, and each by a name of its own."""

    def __init__(self) -> None:
        """No names yet."""
        self._shown: dict[Hashable, str] = {}
        self._taken: set[str] = set()

    def of(self, thing: Hashable, label: str) -> str:
        """The name of a thing with this label; the same for the same thing."""
        if thing not in self._shown:
            short = shortened(label, LABEL_WIDTH) or '""'
            name, number = short, 1
            while name in self._taken:
                number += 1
                name = f"{short} ({number})"
            self._shown[thing] = name
            self._taken.add(name)
        return self._shown[thing]
