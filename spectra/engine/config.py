"""Every option of a run, as one frozen object; flags map to it one to one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from spectra.backend import BACKENDS, PRECISIONS, BackendName, Precision
from spectra.errors import UsageError
from spectra.grouping import DepthMode
from spectra.pooling import POOLS, Pool
from spectra.sampling import Draws, Sampling
from spectra.statistics import Convention, convention

MOST_BINS = 1000
MOST_REPEATS = 10_000
"""Draws are settled before anything is read, and one takes as long as the others."""

NonFinite = Literal["null", "drop", "error"]
Jackknife = Literal["first-order", "exact", "off"]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How to run the spectral stage.

    Attributes:
        pools: which step poolings.
        layers: saved layers to process; empty for the primary one, "all" for all.
        convention: preset name or a `Convention`.
        categories: preset name or path of the category map.
        max_categories: macro categories beyond this many (fewest tokens first) are merged into
            "(other)".
        num_bins: relative depth bins.
        depth: depth by "step" (each step is one unit) or by "token".
        counts: rows of the matched-count sweep; empty for the grid 32, 64, ... up to 4096.
        repeats: subsamples a count.
        seed: seed of the subsamples.
        sampling: what subsamples draw: "row" (tokens, or steps where a pool has a row a step),
            "step" or "trace", of which all rows in the group come together.
        matched: whether groups of a kind are compared at the largest count that they share.
        diagnostics: whether each record says how its alpha depends on the fitted ranks, and what
            row, dimension or rounding has a large share of its energy.
        jackknife: how standard errors are found: "first-order" (the infinitesimal jackknife over
            problems, or traces where they are not named), "exact" (each of them left out in turn,
            with the first-order ones beside), or "off".
        drop_first: how many of each trace's first tokens are left out.
        drop_dims: dimensions of the states that are left out.
        drop_norms: tokens are left out whose norm exceeds the median by more than so many robust
            deviations (1.4826 times the median absolute one); 0 leaves none out.
        influences: whether trace_influences.csv is written: what each trace adds to each metric.
        half_sample: whether `rankme` of groups of 2 d rows or more is given without its bias to
            first order, from halves of the traces, split `repeats` times.
        nonfinite: "null" leaves groups with NaN or infinite rows undefined, "drop" leaves the
            tokens out, "error" stops at the first.
        backend: "auto", "cpu", "gpu" or "tpu".
        devices: how many devices of an accelerator work together; 0 for all that the process has.
        precision: "exact" (float64: every statistic within 1e-9), "fast" (float32 products on an
            accelerator: within 1e-3), or "auto": exact, but fast on a TPU, which has no float64.
        max_memory: bytes of host memory that stored rows may take, and moments where they lie
            there; 0 for 60 % of the memory available.
    """

    pools: tuple[Pool, ...] = POOLS
    layers: tuple[int, ...] | Literal["all"] = ()
    convention: str | Convention = "default"
    categories: str | Path = "identity"
    max_categories: int = 64
    num_bins: int = 10
    depth: DepthMode = "step"
    counts: tuple[int, ...] = ()
    repeats: int = 5
    seed: int = 0
    sampling: Sampling = "row"
    matched: bool = True
    diagnostics: bool = True
    jackknife: Jackknife = "first-order"
    influences: bool = False
    half_sample: bool = False
    drop_first: int = 0
    drop_dims: tuple[int, ...] = ()
    drop_norms: float = 0.0
    nonfinite: NonFinite = "null"
    backend: BackendName = "auto"
    devices: int = 0
    precision: Precision = "auto"
    max_memory: int = 0
    chosen: Convention = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check every option; the only place where they are checked."""
        object.__setattr__(self, "chosen", convention(self.convention))
        _one_of("backend", (self.backend,), BACKENDS)
        _one_of("precision", (self.precision,), PRECISIONS)
        _one_of("depth", (self.depth,), get_args(DepthMode))
        _one_of("sampling", (self.sampling,), get_args(Sampling))
        _one_of("jackknife", (self.jackknife,), get_args(Jackknife))
        _one_of("nonfinite", (self.nonfinite,), get_args(NonFinite))
        _one_of("pools", self.pools, POOLS)
        for name, least in (
            ("num_bins", 1),
            ("repeats", 1),
            ("max_categories", 1),
            ("max_memory", 0),
            ("devices", 0),
            ("drop_first", 0),
            ("drop_norms", 0),
        ):
            if not least <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}. Expected {least} or more.")
        if self.layers != "all" and len(set(self.layers)) < len(self.layers):
            raise UsageError(f"layers is {list(self.layers)}. Expected each layer once.")
        if not self.pools or len(set(self.pools)) < len(self.pools):
            raise UsageError(f"pools is {list(self.pools)}. Expected at least one, each once.")
        for name, most in (("num_bins", MOST_BINS), ("repeats", MOST_REPEATS)):
            if getattr(self, name) > most:
                raise UsageError(f"{name} is {getattr(self, name)}. Expected at most {most}.")
        if self.influences and not self.weighs:
            raise UsageError(
                f"influences come with standard errors, which the convention {self.chosen.name!r} "
                f"with jackknife {self.jackknife!r} does not have. Expected one that does not "
                "normalise rows, and 'first-order' or 'exact'."
            )
        if any(count < 2 for count in self.counts) or list(self.counts) != sorted(set(self.counts)):
            raise UsageError(
                f"counts is {list(self.counts)}. Expected increasing whole numbers of 2 or more."
            )

    @property
    def draws(self) -> Draws:
        """How subsamples are drawn."""
        return Draws(self.counts, self.repeats, self.seed, self.sampling, self.matched)

    @property
    def weighs(self) -> bool:
        """Whether standard errors are found: not where rows are normalised by their group."""
        return self.jackknife != "off" and not self.chosen.row_norm

    @property
    def looks_first(self) -> bool:
        """Whether states are looked at before anything is planned: they decide what is left out."""
        return self.nonfinite != "null" or self.drop_norms > 0

    def asdict(self) -> dict[str, Any]:
        """The options as plain JSON values."""
        options = asdict(self)
        del options["chosen"]
        options["convention"] = self.chosen.name
        options["categories"] = str(self.categories)
        return options


def _one_of(name: str, values: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for value in values:
        if value not in allowed:
            raise UsageError(f"{name} is {value!r}. Expected one of: {', '.join(allowed)}.")
