"""Spectral metrics of hidden states: exact, batched, JIT-compiled.

The names below are the public interface. They are imported on first use, so that importing the
package, and asking the command line for help, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spectra._version import __version__ as __version__

if TYPE_CHECKING:
    from spectra.batched import BatchedRecord as BatchedRecord
    from spectra.engine import RunConfig as RunConfig
    from spectra.host_metrics import UnresolvedSpectrumWarning as UnresolvedSpectrumWarning
    from spectra.jobs import merge as merge
    from spectra.jobs import run_part as run_part
    from spectra.library import batched_metrics as batched_metrics
    from spectra.library import metrics as metrics
    from spectra.library import routes as routes
    from spectra.moments import Moments as Moments
    from spectra.pipeline import ModelRun as ModelRun
    from spectra.pipeline import run as run
    from spectra.record import Record as Record
    from spectra.results import LayerPoint as LayerPoint
    from spectra.results import LayerProfile as LayerProfile
    from spectra.results import ModelResult as ModelResult
    from spectra.results import PoolMetrics as PoolMetrics
    from spectra.results import Results as Results
    from spectra.results import load as load
    from spectra.route import Routes as Routes
    from spectra.statistics import STATUSES as STATUSES
    from spectra.statistics import Convention as Convention

_HOME = {
    "BatchedRecord": "batched",
    "Convention": "statistics",
    "LayerPoint": "results",
    "LayerProfile": "results",
    "ModelResult": "results",
    "ModelRun": "pipeline",
    "Moments": "moments",
    "PoolMetrics": "results",
    "Record": "record",
    "Results": "results",
    "Routes": "route",
    "RunConfig": "engine",
    "STATUSES": "statistics",
    "UnresolvedSpectrumWarning": "host_metrics",
    "batched_metrics": "library",
    "load": "results",
    "merge": "jobs",
    "metrics": "library",
    "routes": "library",
    "run": "pipeline",
    "run_part": "jobs",
}
__all__ = [  # noqa: PLE0604 - the keys are strings
    "__version__",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'spectra' has no attribute {name!r}")
    value = getattr(import_module(f"spectra.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
