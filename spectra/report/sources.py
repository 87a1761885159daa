"""What a report shows: models with names of their own, and which of their layers in detail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spectra.errors import UsageError
from spectra.printable import Names
from spectra.results import LayerProfile, ModelResult, PoolMetrics, Results

MODELS = 6
"""Most models of a page: as many as there are colours that everyone can tell apart."""

DETAILED = 4
"""Layers of a model whose groups, depths, curves and spectra a page holds."""


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

    @property
    def profile(self) -> LayerProfile | None:
        """The model through all layers; None where it was run in one."""
        return self.result.layer_profile if len(self.result.layers) > 1 else None

    def pools(self) -> Iterator[PoolMetrics]:
        """The pools of the detailed layers."""
        for layer, pool in self.result.folders:
            if layer in self.detailed:
                yield self.result.pool(pool, layer=layer)


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
