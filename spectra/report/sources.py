"""What a report shows: models with names of their own, and which of their layers in detail."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from spectra.errors import UsageError
from spectra.printable import shortened
from spectra.results import ModelResult, PoolMetrics, Results

MODELS = 6
"""Most models of a page: as many as there are colours that everyone can tell apart."""

DETAILED = 4
"""Layers of a model whose groups, depths, curves and spectra a page holds."""

LABEL_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Shown:
    """A model in a report.

    Attributes:
        name: what the page calls it, different from every other's.
        result: what the run wrote.
        detailed: the layers whose charts are there: the primary one and others, evenly spaced.
    """

    name: str
    result: ModelResult
    detailed: tuple[int, ...]

    def pools(self) -> Iterator[PoolMetrics]:
        """The pools of the detailed layers."""
        for layer, pool in self.result.folders:
            if layer in self.detailed:
                yield self.result.pool(pool, layer=layer)


class Names:
    """Things as the page calls them: printable, short, and each by a name of its own."""

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


def shown_models(results: Results) -> tuple[Shown, ...]:
    """The models of the results; raises `UsageError` where they are more than a page can tell."""
    if len(results) > MODELS:
        raise UsageError(
            f"{len(results)} models were given. Expected at most {MODELS}, which is how many "
            "colours a reader can tell apart; give fewer, or several reports."
        )
    names = Names()
    return tuple(
        Shown(names.of(name, name), model, _detailed(model)) for name, model in results.items()
    )


def _detailed(model: ModelResult) -> tuple[int, ...]:
    layers = model.layers
    spread = np.linspace(0, len(layers) - 1, min(DETAILED, len(layers))).round().astype(int)
    chosen = {model.primary} | {layers[place] for place in spread}
    while len(chosen) > DETAILED:
        chosen.remove(min(chosen - {model.primary}, key=lambda one: abs(one - model.primary)))
    return tuple(sorted(chosen))
