"""What runs wrote, read back: objects, records, spectra, and data frames."""

from __future__ import annotations

from spectra.results.layers import LayerPoint as LayerPoint
from spectra.results.layers import LayerProfile as LayerProfile
from spectra.results.loading import load as load
from spectra.results.loading import load_all as load_all
from spectra.results.model import ModelResult as ModelResult
from spectra.results.model import Results as Results
from spectra.results.pool import PoolMetrics as PoolMetrics
