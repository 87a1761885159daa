"""Statistics of spectra, one a file, and the conventions under which they are published.

Everything here is pure: arrays in, arrays out, NumPy or JAX, any leading batch axes.
"""

from __future__ import annotations

from spectra.statistics._namespace import Array as Array
from spectra.statistics._namespace import along_last as along_last
from spectra.statistics._namespace import exists as exists
from spectra.statistics._namespace import is_jax as is_jax
from spectra.statistics._namespace import namespace as namespace
from spectra.statistics.alpha_req import alpha_req as alpha_req
from spectra.statistics.alpha_req import slope_weights as slope_weights
from spectra.statistics.convention import PRESETS as PRESETS
from spectra.statistics.convention import Convention as Convention
from spectra.statistics.convention import convention as convention
from spectra.statistics.gradient import Gradient as Gradient
from spectra.statistics.participation_ratio import participation_ratio as participation_ratio
from spectra.statistics.rankme import effective_rank as effective_rank
from spectra.statistics.rankme import rankme as rankme
from spectra.statistics.rankme import rankme_sigma as rankme_sigma
from spectra.statistics.stable_rank import stable_rank as stable_rank
from spectra.statistics.summary import METRICS as METRICS
from spectra.statistics.summary import STATUSES as STATUSES
from spectra.statistics.summary import Summary as Summary
from spectra.statistics.summary import summarise as summarise
from spectra.statistics.top_share import top_share as top_share
