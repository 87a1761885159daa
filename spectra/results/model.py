"""The results of one model directory, and of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from spectra.errors import UsageError
from spectra.outputs import COLUMNS
from spectra.printable import printable
from spectra.results.frame import frame
from spectra.results.layers import LayerProfile
from spectra.results.pool import PoolMetrics
from spectra.results.read import Folders, pool_documents, profile_document

Library = Literal["polars", "pandas"]


@dataclass(frozen=True, slots=True, repr=False)
class ModelResult:
    """What `spectra run` wrote for one model directory.

    Attributes:
        path: the directory.
        run: run.json: options, versions, input, warnings, time.
        primary: the layer that the run took first: the model's primary one if it is there.
    """

    path: Path
    run: Mapping[str, Any]
    primary: int
    folders: Folders = field(repr=False)
    _read: dict[tuple[int, str], PoolMetrics] = field(default_factory=dict, repr=False)
    _profile: list[LayerProfile] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.resolve().name

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers measured, rising."""
        return tuple(sorted({layer for layer, _ in self.folders}))

    @property
    def pools(self) -> tuple[str, ...]:
        """The step poolings measured."""
        return tuple(dict.fromkeys(pool for _, pool in self.folders))

    @property
    def warnings(self) -> Sequence[str]:
        """What was odd but legal."""
        return tuple(self.run["warnings"])

    def pool(self, name: str = "all", *, layer: int | None = None) -> PoolMetrics:
        """The metrics of a pool, of the primary layer if none is named; read once.

        Raises:
            UsageError: the run has no such layer or pool.
            InputError: a file is missing, or is not the one that the run wrote.
        """
        key = (self.primary if layer is None else layer, name)
        if key not in self.folders:
            raise UsageError(
                f"{self.path} has no pool {name!r} of layer {key[0]}. Expected a pool among "
                f"{', '.join(self.pools)} and a layer among {', '.join(map(str, self.layers))}."
            )
        if key not in self._read:
            read = partial(pool_documents, self.path, self.folders[key], self.run)
            self._read[key] = read(PoolMetrics)
        return self._read[key]

    @property
    def layer_profile(self) -> LayerProfile:
        """Each group's metrics through the layers; read once.

        Raises:
            UsageError: the run measured one layer.
            InputError: layer_profile.json is missing, or is not the one that the run wrote.
        """
        if len(self.layers) == 1:
            raise UsageError(
                f"{self.path} has results of layer {self.layers[0]} alone. Expected several for a "
                "profile: run it again with --layers all, or with a list of layers."
            )
        if not self._profile:
            document = profile_document(self.path, self.run, self.folders)
            self._profile.append(LayerProfile(document))
        return self._profile[0]

    def every_pool(self) -> Iterator[PoolMetrics]:
        """All pools of all layers, in the run's order."""
        return (self.pool(name, layer=layer) for layer, name in self.folders)

    def frame(self, library: Library = "polars") -> Any:
        """metrics.csv as a data frame: a value a line. Needs the package named."""
        return frame(COLUMNS, (row for pool in self.every_pool() for row in pool.rows()), library)

    def __repr__(self) -> str:
        layers, pools = ", ".join(map(str, self.layers)), ", ".join(self.pools)
        head = printable(f"ModelResult: {self.path} (layers {layers}; pools {pools})")
        return f"{head}\n{self._first()!r}"

    def _repr_html_(self) -> str:
        return self._first()._repr_html_()

    def _first(self) -> PoolMetrics:
        return self.pool("all" if "all" in self.pools else self.pools[0])


@dataclass(frozen=True, slots=True, repr=False)
class Results(Mapping[str, ModelResult]):
    """The results of several model directories, by the directory's name.

    Attributes:
        models: those that a run finished.
        unfinished: directories beside them that hold pools and no run.json.
    """

    models: Mapping[str, ModelResult]
    unfinished: tuple[Path, ...] = ()

    def frame(self, library: Library = "polars") -> Any:
        """All of them as one data frame: a value a line, the model directory's name first.

        Needs the package named.
        """
        rows = (
            (name, *row)
            for name, model in self.models.items()
            for pool in model.every_pool()
            for row in pool.rows()
        )
        return frame(("run", *COLUMNS), rows, library)

    def __getitem__(self, name: str) -> ModelResult:
        return self.models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        return "\n\n".join(["Results:", *(repr(model) for model in self.models.values())])

    def _repr_html_(self) -> str:
        return "".join(model._repr_html_() for model in self.models.values())
