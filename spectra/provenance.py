"""Where a run's numbers come from: versions, devices, input identity, time and memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from spectra.artifacts import Artifact
from spectra.backend import Mode
from spectra.backend.precision import BARS

installed = cache(version)
"""The version of an installed package, whose metadata take milliseconds to find and read."""

_PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "safetensors", "ml_dtypes")


def versions() -> dict[str, str]:
    """Versions of Spectra, Python and the packages that touch the numbers."""
    from spectra._version import __version__

    found = {name: installed(name) for name in _PACKAGES}
    return {"spectra": __version__, "python": platform.python_version(), **found}


def input_identity(artifact: Artifact) -> dict[str, Any]:
    """Names and sizes of the files; SHA-256 of config, index and each shard's safetensors header.

    The tensor data are not hashed here; `spectra verify` does that. `hub` has the repository, the
    commit and the path in it, and is null for a directory of this machine.
    """
    files: dict[str, Any] = {
        name: {"bytes": digest.size, "sha256": digest.sha256}
        for name, digest in artifact.documents.items()
    }
    for name, header in sorted(artifact.headers.items()):
        files[name] = {"bytes": header.file_size, "header_sha256": header.sha256}
    hub = None if artifact.origin is None else artifact.origin.asdict()
    return {"directory": artifact.path.name, "hub": hub, "files": files}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How exact a run is.

    Attributes:
        mode: "exact" or "fast".
        bound: how far a statistic may be from float64 SVDs of the rows, relatively.
        measured_error: in fast mode, the largest relative error of rankme, rankme_sigma and alpha
            over some groups that were computed in float64 as well; None if there were none.
        groups_checked: how many those are.
    """

    mode: Mode
    bound: float
    measured_error: float | None
    groups_checked: int

    @classmethod
    def of(cls, mode: Mode, errors: Iterable[float]) -> Self:
        """With the measured errors of the groups that were checked."""
        measured = list(errors)
        return cls(mode, BARS[mode], max(measured, default=None), len(measured))

    def warnings(self) -> list[str]:
        """A sentence where the bound does not hold."""
        if self.measured_error is None or self.measured_error <= self.bound:
            return []
        return [
            f"fast results are off by {self.measured_error:.1e}, as measured on "
            f"{self.groups_checked} groups; the bound is {self.bound:g}. Use --precision exact."
        ]


class Stages:
    """Wall time and peak memory of each stage of a run."""

    def __init__(self) -> None:
        """No stages yet."""
        self._stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a stage; stages of one name add up."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            stage = self._stages.setdefault(name, {"seconds": 0.0, "peak_memory_bytes": 0})
            stage["seconds"] = round(stage["seconds"] + time.perf_counter() - begin, 6)
            stage["peak_memory_bytes"] = peak_memory()

    def seconds(self) -> dict[str, float]:
        """Wall time a stage."""
        return {name: stage["seconds"] for name, stage in self._stages.items()}

    def asdict(self) -> dict[str, dict[str, float]]:
        """Seconds and the process's peak memory at the end, a stage."""
        return self._stages


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory() -> int:
    """Bytes that this process may still take: the smaller of free memory and the cgroup's limit."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return free if text == "max" else min(free, int(text))
